/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/target.h"

fsfm_status fsfm_target_bind(fsfm_target *target, const fsfm_weights *weights,
                             const fsfm_model_options *options, const fsfm_tables *tables, int64_t K,
                             bool is_plain, fsfm_error *err)
{
    target->K = K;
    target->features = options->projection_size;
    return fsfm_trunk_bind(&target->trunk, weights, options, tables, K, is_plain, err);
}

void fsfm_target_free(fsfm_target *target)
{
    fsfm_trunk_free(&target->trunk);
}

void fsfm_target_layout(fsfm_target *target, fsfm_arena *arena, const fsfm_device *dev, int64_t B)
{
    fsfm_encoder_layout(&target->trunk.encoder, arena, dev, B, target->K, FSFM_KEEPS_NOTHING);
    fsfm_arena represent = *arena; /* behind the encoder, which is done by then */
    fsfm_encoder_layout_work(&target->trunk.encoder, arena, dev, B, target->K);
    fsfm_trunk_layout_represent(&target->trunk, &represent, dev, B, FSFM_KEEPS_NOTHING);
    target->norm = fsfm_arena_floats(&represent, B);
    fsfm_arena_cover(arena, &represent);
}

fsfm_status fsfm_target_forward(fsfm_device *dev, const fsfm_target *target, const fsfm_network_view *view,
                                float *keys, fsfm_error *err)
{
    const fsfm_normalize_args normalize = {
        .N = view->B,
        .C = target->features,
        .x = target->trunk.projector.out,
        .out = keys,
        .norm = target->norm,
    };
    FSFM_TRY(fsfm_encoder_forward(dev, &target->trunk.encoder, view, err));
    FSFM_TRY(fsfm_trunk_represent(dev, &target->trunk, view, err));
    return dev->whole->ops->normalize(dev->whole, &normalize, err);
}
