/* SPDX-License-Identifier: Apache-2.0
 * jobs/version.h - what this program was built from. */
#ifndef FSFM_JOBS_VERSION_H
#define FSFM_JOBS_VERSION_H

const char *fsfm_version(void); /* "0.1.0" */
const char *
fsfm_version_revision(void); /* git commit of the checkout it was built from; "" where there was none */
const char *fsfm_version_libraries(void); /* "HDF5 1.10.8, ...", as found when it was built */
#endif
