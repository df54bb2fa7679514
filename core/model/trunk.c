/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/trunk.h"

fsfm_status fsfm_trunk_bind(fsfm_trunk *trunk, const fsfm_weights *weights, const fsfm_model_options *options,
                            const fsfm_tables *tables, int64_t K, bool is_plain, fsfm_error *err)
{
    *trunk = (fsfm_trunk){.represents = options->id_loss != FSFM_ID_NONE};
    FSFM_TRY(fsfm_encoder_bind(&trunk->encoder, weights, options, err));
    trunk->encoder.position = tables->encoder_position;
    if (!trunk->represents) return FSFM_OK;
    FSFM_TRY(fsfm_rep_decoder_bind(&trunk->rep_decoder, weights, options, K, is_plain, err));
    trunk->rep_decoder.position = options->rep_pos == FSFM_REP_POS_SINCOS ? tables->encoder_position : NULL;
    trunk->rep_decoder.all_in_order = tables->all_in_order;
    fsfm_head_bind(&trunk->projector, weights, "projector", options->embed_dim,
                   options->projection_hidden_size, options->projection_size);
    return FSFM_OK;
}

void fsfm_trunk_free(fsfm_trunk *trunk)
{
    fsfm_encoder_free(&trunk->encoder);
    fsfm_rep_decoder_free(&trunk->rep_decoder);
}

void fsfm_trunk_layout_represent(fsfm_trunk *trunk, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                                 fsfm_keeps keeps)
{
    if (!trunk->represents) return;
    fsfm_rep_decoder_layout(&trunk->rep_decoder, arena, dev, B, keeps);
    fsfm_head_layout(&trunk->projector, arena, dev->whole, B, keeps);
}

fsfm_status fsfm_trunk_represent(fsfm_device *dev, const fsfm_trunk *trunk, const fsfm_network_view *view,
                                 fsfm_error *err)
{
    FSFM_TRY(fsfm_rep_decoder_forward(dev, &trunk->rep_decoder, view, trunk->encoder.latent, err));
    return fsfm_head_forward(dev->whole, &trunk->projector, view->B, trunk->rep_decoder.out, err);
}
