/* SPDX-License-Identifier: Apache-2.0
 * core/model/gpu_memory.h - what a step takes of a GPU's memory, by part, from shapes alone: a model, not a
 * measurement. */
#ifndef FSFM_CORE_MODEL_GPU_MEMORY_H
#define FSFM_CORE_MODEL_GPU_MEMORY_H

#include "core/model/work.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_work_setup work;
    int64_t online, target; /* parameters; target: 0 where it has none of its own */
    fsfm_precision precision;
    fsfm_recompute recompute;
} fsfm_gpu_memory_setup;

/* Bytes. */
typedef struct {
    double activations; /* of the online network, kept for backward */
    double target;      /* scratch of the target's forward */
    double batch;       /* images, masks, patches */
    double states;      /* weights, gradients, moments, the target's weights */
    double total;
} fsfm_gpu_memory;

fsfm_gpu_memory fsfm_gpu_memory_model(const fsfm_gpu_memory_setup *setup);
/* The most images (setup->work.B is not looked at) whose total is at most bytes; 0: not even one. */
int64_t fsfm_gpu_memory_largest_batch(const fsfm_gpu_memory_setup *setup, double bytes);

#ifdef __cplusplus
}
#endif
#endif
