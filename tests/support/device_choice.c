/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/device_choice.h"

#include <stdlib.h>
#include <string.h>

fsfm_device_kind device_choice(void)
{
    const char *given = getenv("FSFM_TEST_DEVICE");
    return given && strcmp(given, "cuda") == 0 ? FSFM_DEVICE_CUDA : FSFM_DEVICE_CPU;
}
