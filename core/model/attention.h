/* SPDX-License-Identifier: Apache-2.0
 * core/model/attention.h - the first half of a transformer block: out = x + proj(attention(qkv(norm x))). */
#ifndef FSFM_CORE_MODEL_ATTENTION_H
#define FSFM_CORE_MODEL_ATTENTION_H

#include "core/model/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t C, H; /* width of the stream, heads */
    fsfm_norm norm;
    fsfm_linear qkv, proj;
    fsfm_act *rest; /* (3 C, C): scratch, to project with the weights whole; NULL: with the rounded ones */
} fsfm_attention;

/* What attends to what: B images of T tokens, the last one standing for last_multiplicity equal ones. */
typedef struct {
    int64_t B, T;
    float last_multiplicity;
} fsfm_tokens;

typedef struct {
    float *x, *out;      /* (B, T, C): the block's; may be one buffer where backward does not read x */
    fsfm_act *normed;    /* (M, C): M = B T rows, or those that the block projects by itself */
    fsfm_act *qkv;       /* (B, T, 3, H, D) */
    fsfm_act *attended;  /* (B, T, C) */
    float *log_sum;      /* (B, H, T) */
    fsfm_act *dattended; /* (B, T, C); then dnormed, (M, C) */
    fsfm_act *dqkv;      /* (B, T, 3, H, D) */
    fsfm_norm_stats stats;
    bool is_kept; /* normed holds forward's result until backward */
} fsfm_attention_acts;

/* The layers PREFIX.norm1, PREFIX.attn.qkv, PREFIX.attn.proj. */
void fsfm_attention_bind(fsfm_attention *attention, const fsfm_weights *weights, const char *prefix,
                         int64_t C, int64_t H, float eps);
/* All but x and out. M: rows of normed, at most B T. */
void fsfm_attention_layout(const fsfm_attention *attention, fsfm_attention_acts *acts,
                           const fsfm_layout *layout, int64_t B, int64_t T, int64_t M);
FSFM_MUST_USE
fsfm_status fsfm_attention_forward(fsfm_device *dev, const fsfm_attention *attention,
                                   const fsfm_attention_acts *acts, const fsfm_tokens *tokens,
                                   fsfm_error *err);
/* dstream (B, T, C): gradient of out on entry, of x on return. */
FSFM_MUST_USE
fsfm_status fsfm_attention_backward(fsfm_device *dev, const fsfm_attention *attention,
                                    const fsfm_attention_acts *acts, const fsfm_tokens *tokens,
                                    fsfm_act *dstream, fsfm_error *err);

/* Their parts behind the projection: from qkv to out, and from dstream to dqkv. */
FSFM_MUST_USE
fsfm_status fsfm_attention_attend(fsfm_device *dev, const fsfm_attention *attention,
                                  const fsfm_attention_acts *acts, const fsfm_tokens *tokens,
                                  fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_attention_attend_backward(fsfm_device *dev, const fsfm_attention *attention,
                                           const fsfm_attention_acts *acts, const fsfm_tokens *tokens,
                                           const fsfm_act *dstream, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
