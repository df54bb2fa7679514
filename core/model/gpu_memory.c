/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/gpu_memory.h"

#include <math.h>

/* Arrays of (tokens, width) that a block leaves for backward. All: stream, norm, q, k, v, attention's result,
 * stream, norm, and four wide the MLP's hidden layer before and after GELU. Recomputed GELU and norms: those
 * not. Recomputed blocks: the stream, twice as wide a number, and all of one block at work. */
enum { ARRAYS_ALL = 16, ARRAYS_RECOMPUTE_GELU = 10, ARRAYS_STREAM = 2, ARRAYS_TARGET = 13 };

/* Bytes of a parameter: weight and its rounded copy, gradient, moments; of the target's weight and copy. */
static double online_bytes(fsfm_precision precision)
{
    return precision == FSFM_PRECISION_BF16 ? 4 + 2 + 4 + 4 + 4 : 4 + 4 + 4 + 4;
}

static double target_bytes(fsfm_precision precision)
{
    return precision == FSFM_PRECISION_BF16 ? 4 + 2 : 4;
}

typedef struct {
    int64_t tokens, width, depth;
} stack;

static double kept_arrays(const stack *s, fsfm_recompute recompute)
{
    const double one = (double)(s->tokens * s->width), depth = (double)s->depth;
    switch (recompute) {
    case FSFM_RECOMPUTE_NONE: return ARRAYS_ALL * one * depth;
    case FSFM_RECOMPUTE_GELU: return ARRAYS_RECOMPUTE_GELU * one * depth;
    case FSFM_RECOMPUTE_BLOCK: break;
    }
    return ARRAYS_STREAM * one * depth;
}

/* Activations that an image adds. */
static double activations_of_image(const fsfm_gpu_memory_setup *setup, int64_t L)
{
    const fsfm_model_options *o = setup->work.options;
    const int64_t K = setup->work.kept;
    const bool as_one = !setup->work.plain && K < L && o->rep_pos == FSFM_REP_POS_ZEROS;
    const bool has_rep = o->id_loss != FSFM_ID_NONE && o->id_rep_decoder;
    const stack stacks[] = {
        {1 + K, o->embed_dim, o->depth},
        {as_one ? 1 + K + 1 : 1 + L, o->rep_decoder_embed_dim, has_rep ? o->rep_decoder_depth : 0},
        {1 + L, o->decoder_embed_dim, o->decoder_depth},
    };
    double arrays = 0, largest = 0;
    for (int i = 0; i < 3; i++) {
        arrays += kept_arrays(&stacks[i], setup->recompute);
        largest = fmax(largest, (double)(stacks[i].tokens * stacks[i].width));
    }
    return setup->recompute == FSFM_RECOMPUTE_BLOCK ? arrays + ARRAYS_ALL * largest : arrays;
}

fsfm_gpu_memory fsfm_gpu_memory_model(const fsfm_gpu_memory_setup *setup)
{
    const fsfm_model_options *o = setup->work.options;
    const int64_t side = o->img_size / o->patch_size, L = side * side;
    const double act_bytes = setup->precision == FSFM_PRECISION_BF16 ? 2 : 4, B = (double)setup->work.B;
    const int64_t seen = o->target_view == FSFM_TARGET_MASKED ? setup->work.kept : L;
    const double pixels = 3.0 * (double)(o->img_size * o->img_size), masks = 3.0 * (double)L;
    fsfm_gpu_memory m = {.activations = act_bytes * B * activations_of_image(setup, L)};
    if (o->id_loss != FSFM_ID_NONE)
        m.target = act_bytes * B * ARRAYS_TARGET * (double)((1 + seen) * o->embed_dim);
    m.batch = B * (pixels + masks + act_bytes * pixels); /* as bytes, and as patches */
    m.states = online_bytes(setup->precision) * (double)setup->online +
               target_bytes(setup->precision) * (double)setup->target;
    m.total = m.activations + m.target + m.batch + m.states;
    return m;
}

int64_t fsfm_gpu_memory_largest_batch(const fsfm_gpu_memory_setup *setup, double bytes)
{
    fsfm_gpu_memory_setup one = *setup;
    one.work.B = 1;
    const fsfm_gpu_memory m = fsfm_gpu_memory_model(&one);
    const double left = bytes - m.states, image = m.total - m.states;
    return left < image ? 0 : (int64_t)floor(left / image);
}
