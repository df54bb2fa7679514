/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/attention.h"

void fsfm_attention_bind(fsfm_attention *attention, const fsfm_weights *weights, const char *prefix,
                         int64_t C, int64_t H, float eps)
{
    *attention = (fsfm_attention){
        .C = C,
        .H = H,
        .norm = {fsfm_weights_pair(weights, "%s.norm1", prefix), C, eps, false, true},
        .qkv = {fsfm_weights_pair(weights, "%s.attn.qkv", prefix), C, 3 * C},
        .proj = {fsfm_weights_pair(weights, "%s.attn.proj", prefix), C, C},
    };
}

void fsfm_attention_layout(const fsfm_attention *attention, fsfm_attention_acts *acts,
                           const fsfm_layout *layout, int64_t B, int64_t T, int64_t M)
{
    const int64_t N = B * T, C = attention->C;
    fsfm_layout_acts(layout, FSFM_BUFFER_CHEAP, M * C, &acts->normed);
    fsfm_layout_acts(layout, FSFM_BUFFER_INNER, N * 3 * C, &acts->qkv);
    fsfm_layout_acts(layout, FSFM_BUFFER_INNER, N * C, &acts->attended);
    fsfm_layout_floats(layout, FSFM_BUFFER_STATISTICS, N * attention->H, &acts->log_sum);
    fsfm_norm_stats_layout(&acts->stats, layout, M);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, N * C, &acts->dattended);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, N * 3 * C, &acts->dqkv);
    acts->is_kept = layout->keeps != FSFM_KEEPS_MOST;
}

fsfm_status fsfm_attention_attend(fsfm_device *dev, const fsfm_attention *attention,
                                  const fsfm_attention_acts *acts, const fsfm_tokens *tokens, fsfm_error *err)
{
    const int64_t C = attention->C;
    const fsfm_attention_args args = {
        .B = tokens->B,
        .Tq = tokens->T,
        .T = tokens->T,
        .H = attention->H,
        .D = C / attention->H,
        .last_multiplicity = tokens->last_multiplicity,
        .q = acts->qkv,
        .k = fsfm_act_after(dev, acts->qkv, C),
        .v = fsfm_act_after(dev, acts->qkv, 2 * C),
        .q_stride = 3 * C,
        .kv_stride = 3 * C,
        .out = acts->attended,
        .log_sum = acts->log_sum,
    };
    FSFM_TRY(dev->ops->attention(dev, &args, err));
    return fsfm_linear_stream_forward(dev, &attention->proj, tokens->B * tokens->T, acts->attended, acts->x,
                                      acts->out, err);
}

fsfm_status fsfm_attention_forward(fsfm_device *dev, const fsfm_attention *attention,
                                   const fsfm_attention_acts *acts, const fsfm_tokens *tokens,
                                   fsfm_error *err)
{
    const int64_t N = tokens->B * tokens->T;
    FSFM_TRY(fsfm_norm_forward(dev, &attention->norm, N, acts->x, acts->normed, &acts->stats, err));
    if (attention->rest)
        FSFM_TRY(fsfm_linear_whole_forward(dev, &attention->qkv, N, acts->normed, attention->rest, acts->qkv,
                                           err));
    else
        FSFM_TRY(fsfm_linear_forward(dev, &attention->qkv, N, acts->normed, acts->qkv, err));
    return fsfm_attention_attend(dev, attention, acts, tokens, err);
}

fsfm_status fsfm_attention_attend_backward(fsfm_device *dev, const fsfm_attention *attention,
                                           const fsfm_attention_acts *acts, const fsfm_tokens *tokens,
                                           const fsfm_act *dstream, fsfm_error *err)
{
    const int64_t C = attention->C;
    const fsfm_attention_backward_args args = {
        .B = tokens->B,
        .Tq = tokens->T,
        .T = tokens->T,
        .H = attention->H,
        .D = C / attention->H,
        .last_multiplicity = tokens->last_multiplicity,
        .q = acts->qkv,
        .k = fsfm_act_after(dev, acts->qkv, C),
        .v = fsfm_act_after(dev, acts->qkv, 2 * C),
        .q_stride = 3 * C,
        .kv_stride = 3 * C,
        .out = acts->attended,
        .dout = acts->dattended,
        .log_sum = acts->log_sum,
        .dq = acts->dqkv,
        .dk = fsfm_act_after(dev, acts->dqkv, C),
        .dv = fsfm_act_after(dev, acts->dqkv, 2 * C),
    };
    FSFM_TRY(fsfm_linear_backward(dev, &attention->proj, tokens->B * tokens->T, acts->attended, dstream,
                                  acts->dattended, FSFM_SETS, err));
    return dev->ops->attention_backward(dev, &args, err);
}

fsfm_status fsfm_attention_backward(fsfm_device *dev, const fsfm_attention *attention,
                                    const fsfm_attention_acts *acts, const fsfm_tokens *tokens,
                                    fsfm_act *dstream, fsfm_error *err)
{
    const int64_t N = tokens->B * tokens->T;
    fsfm_act *dnormed = acts->dattended;
    FSFM_TRY(fsfm_attention_attend_backward(dev, attention, acts, tokens, dstream, err));
    if (!acts->is_kept)
        FSFM_TRY(fsfm_norm_again(dev, &attention->norm, N, acts->x, acts->normed, &acts->stats, err));
    FSFM_TRY(
        fsfm_linear_backward(dev, &attention->qkv, N, acts->normed, acts->dqkv, dnormed, FSFM_SETS, err));
    return fsfm_norm_backward(dev, &attention->norm, N, acts->x, acts->normed, &acts->stats, dnormed, dstream,
                              FSFM_ADDS, err);
}
