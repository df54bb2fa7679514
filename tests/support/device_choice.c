/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/device_choice.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

/* FSFM_TEST_ONLY: the one case to run, where a program has many. */
__attribute__((constructor)) static void choose_case(void)
{
    cmocka_set_test_filter(getenv("FSFM_TEST_ONLY"));
}

fsfm_device_kind device_choice(void)
{
    const char *given = getenv("FSFM_TEST_DEVICE");
    return given && strcmp(given, "cuda") == 0 ? FSFM_DEVICE_CUDA : FSFM_DEVICE_CPU;
}
