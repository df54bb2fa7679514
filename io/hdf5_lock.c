/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include <hdf5.h>

#include "io/shard.h"

static pthread_mutex_t hdf5_mutex = PTHREAD_MUTEX_INITIALIZER;

void fsfm_hdf5_lock(void)
{
    pthread_mutex_lock(&hdf5_mutex);
    /* Everything is closed by who opened it; HDF5's own closing at exit would try again, loudly, what failed
     * for want of space. It can only be switched off before HDF5 starts, later calls say so and change
     * nothing. */
    (void)H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* per thread in thread-safe builds */
}

void fsfm_hdf5_unlock(void)
{
    pthread_mutex_unlock(&hdf5_mutex);
}
