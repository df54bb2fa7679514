/* SPDX-License-Identifier: Apache-2.0
 * mpi/health_measure.h - how fast this rank is: a product, a copy, reading, an exchange; in about 0.1 s. */
#ifndef FSFM_MPI_HEALTH_MEASURE_H
#define FSFM_MPI_HEALTH_MEASURE_H

#include "core/device/device.h"
#include "io/dataset.h"
#include "mpi/health.h"

typedef struct {
    fsfm_comm *comm;
    fsfm_device *dev;
    fsfm_dataset *dataset;
} fsfm_health_place;

/* Collective; a fsfm_health_measure_fn whose context is a fsfm_health_place. Where processors are shared it
 * measures nothing. */
FSFM_MUST_USE
fsfm_status fsfm_health_measure(void *place, int round, fsfm_health_rates *out, fsfm_error *err);
#endif
