/* SPDX-License-Identifier: Apache-2.0
 * core/device/counter.h - a device in the shape of a GPU that has no memory and computes nothing: it tells of
 * every operation that it is given. For what is to be known of a step without running it. */
#ifndef FSFM_CORE_DEVICE_COUNTER_H
#define FSFM_CORE_DEVICE_COUNTER_H

#include "core/device/cost.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_op op;
    bool is_whole;    /* given to the device's whole */
    const void *args; /* fsfm_NAME_args; of a vector operation x; of what moves memory NULL */
    fsfm_cost cost;
} fsfm_counted;
typedef void (*fsfm_counter_fn)(void *context, const fsfm_counted *counted);

typedef struct fsfm_counter fsfm_counter;
typedef struct {
    fsfm_device device; /* first: what operations get is one of these */
    fsfm_counter *counter;
} fsfm_counting;

/* Device addresses of it are numbers that stand for themselves; what is read from it is zeros. Nothing is to
 * be freed. */
struct fsfm_counter {
    fsfm_counting own, whole;
    fsfm_counter_fn tell; /* NULL: nobody */
    void *context;
    size_t allocated_bytes;
};

/* counter must stay where it is as long as its device is used. memory_bytes: of the GPU. */
void fsfm_counter_init(fsfm_counter *counter, fsfm_precision precision, uint64_t memory_bytes,
                       fsfm_counter_fn tell, void *context);
fsfm_device *fsfm_counter_device(fsfm_counter *counter);

#ifdef __cplusplus
}
#endif
#endif
