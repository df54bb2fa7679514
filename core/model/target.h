/* SPDX-License-Identifier: Apache-2.0
 * core/model/target.h - the target network: the trunk without gradients, down to l2-normalised features. */
#ifndef FSFM_CORE_MODEL_TARGET_H
#define FSFM_CORE_MODEL_TARGET_H

#include "core/model/trunk.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_trunk trunk;
    int64_t K, features;
    float *norm; /* (B) */
} fsfm_target;

FSFM_MUST_USE
fsfm_status fsfm_target_bind(fsfm_target *target, const fsfm_weights *weights,
                             const fsfm_model_options *options, const fsfm_tables *tables, int64_t K,
                             bool is_plain, fsfm_error *err);
void fsfm_target_free(fsfm_target *target);
void fsfm_target_layout(fsfm_target *target, fsfm_arena *arena, const fsfm_device *dev, int64_t B);
/* keys (B, projection_size): l2-normalised projections. */
FSFM_MUST_USE
fsfm_status fsfm_target_forward(fsfm_device *dev, const fsfm_target *target, const fsfm_network_view *view,
                                float *keys, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
