/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/version.h"

/* The definitions come from CMakeLists.txt. */
const char *fsfm_version(void)
{
    return FSFM_VERSION;
}

const char *fsfm_version_revision(void)
{
    return FSFM_REVISION;
}

const char *fsfm_version_libraries(void)
{
    return FSFM_LIBRARIES;
}
