/* SPDX-License-Identifier: Apache-2.0
 * jobs/machine/gpu_machine.h - a GPU and its node as the files in configs/machines describe them: peaks of
 * data sheets and the shares that are expected of them. */
#ifndef FSFM_JOBS_MACHINE_GPU_MACHINE_H
#define FSFM_JOBS_MACHINE_GPU_MACHINE_H

#include "core/base/options.h"
#include "core/model/roofline.h"

/* In the units of the keys. */
typedef struct {
    char path[FSFM_TEXT_SIZE + 256], name[96];
    double bf16_tflops, fp32_tflops, memory_tb_s, memory_gb, reserved_gb;
    double gemm_share, attention_tflops, memory_share, gap_ms;
    double gpus_per_node; /* whole */
    double nvlink_gb_s, nvlink_us, network_gb_s, network_us, storage_gb_s;
} fsfm_gpu_machine;

/* name: a file of configs/machines without ".yaml" (h100, a100, h200), or a path (with a '/' or ".yaml").
 * Every key must be there and positive; errors are FSFM_ERR_ARG and name file, line and key. */
FSFM_MUST_USE
fsfm_status fsfm_gpu_machine_read(const char *name, fsfm_gpu_machine *out, fsfm_error *err);
/* What is expected to be reached in a precision. In fp32 attention is no faster than products. */
/* What no kernel should take 1.5 times as long as: the memory as in the rates, half of the peaks in FLOP (an
 * H100: 2.7 TB/s, 500 TFLOP/s). */
fsfm_rates fsfm_gpu_machine_bounds(const fsfm_gpu_machine *machine, fsfm_precision precision);
fsfm_rates fsfm_gpu_machine_rates(const fsfm_gpu_machine *machine, fsfm_precision precision);
#endif
