/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/flops.h"

enum { SHAPES_MAX = 128 }; /* a network of three stacks has 12 in each and some around them */

typedef struct {
    fsfm_product_shape shape;
    double flop;
} weighted_shape;

/* What a walk through the networks adds up, of one micro-batch. */
typedef struct {
    const fsfm_model_options *options;
    int64_t B, L;
    bool plain, trains; /* trains: backward follows */
    double forward, backward;
    weighted_shape shapes[SHAPES_MAX];
    int count;
} walk;

static bool is_same(const fsfm_product_shape *a, const fsfm_product_shape *b)
{
    return a->M == b->M && a->N == b->N && a->K == b->K && a->a_transposed == b->a_transposed &&
           a->b_transposed == b->b_transposed;
}

/* Returns its FLOP. */
static double add_product(walk *w, fsfm_product_shape shape)
{
    const double flop = 2.0 * (double)shape.M * (double)shape.N * (double)shape.K;
    int i = 0;
    while (i < w->count && !is_same(&w->shapes[i].shape, &shape)) i++;
    FSFM_ASSERT(i < SHAPES_MAX);
    if (i == w->count) w->shapes[w->count++] = (weighted_shape){shape, 0.0};
    w->shapes[i].flop += flop;
    return flop;
}

/* A Linear on rows; wants_dx false: nothing in front of it learns. */
static void add_linear(walk *w, int64_t rows, int64_t in, int64_t out, bool wants_dx)
{
    w->forward += add_product(w, (fsfm_product_shape){rows, out, in, false, true});
    if (!w->trains) return;
    if (wants_dx) w->backward += add_product(w, (fsfm_product_shape){rows, in, out, false, false});
    w->backward += add_product(w, (fsfm_product_shape){out, in, rows, true, false});
}

static void add_attention(walk *w, int64_t queries, int64_t keys, int64_t C)
{
    const double flop = 4.0 * (double)w->B * (double)queries * (double)keys * (double)C;
    w->forward += flop;
    if (w->trains) w->backward += 2.0 * flop;
}

/* Rows of a block's parts in a micro-batch; queries and keys are those of an image. */
typedef struct {
    int64_t q, kv, rest;
    int64_t queries, keys;
} block_rows;

static block_rows all_rows(const walk *w, int64_t T)
{
    return (block_rows){w->B * T, w->B * T, w->B * T, T, T};
}

static void add_block(walk *w, int64_t C, const block_rows *rows)
{
    const int64_t F = (int64_t)((double)C * w->options->mlp_ratio);
    if (rows->q == rows->kv) {
        add_linear(w, rows->q, C, 3 * C, true);
    } else {
        add_linear(w, rows->q, C, C, true);
        add_linear(w, rows->kv, C, 2 * C, true);
    }
    add_attention(w, rows->queries, rows->keys, C);
    add_linear(w, rows->rest, C, C, true);
    add_linear(w, rows->rest, C, F, true);
    add_linear(w, rows->rest, F, C, true);
}

static void add_encoder(walk *w, int64_t K)
{
    const fsfm_model_options *o = w->options;
    const block_rows rows = all_rows(w, 1 + K);
    add_linear(w, w->B * K, o->patch_size * o->patch_size * 3, o->embed_dim, false);
    for (int64_t i = 0; i < o->depth; i++) add_block(w, o->embed_dim, &rows);
}

/* Without a position table all masked tokens go as one. */
static void add_rep_decoder(walk *w, int64_t K)
{
    const fsfm_model_options *o = w->options;
    const bool as_one = !w->plain && K < w->L && o->rep_pos == FSFM_REP_POS_ZEROS;
    const int64_t C = o->rep_decoder_embed_dim, T = as_one ? 1 + K + 1 : 1 + w->L;
    const block_rows rows = all_rows(w, T);
    if (!o->id_rep_decoder) return;
    add_linear(w, w->B * (1 + K), o->embed_dim, C, true);
    for (int64_t i = 0; i < o->rep_decoder_depth; i++) add_block(w, C, &rows);
    add_linear(w, w->plain ? w->B * T : w->B, C, o->embed_dim, true);
}

static void add_head(walk *w, int64_t in)
{
    add_linear(w, w->B, in, w->options->projection_hidden_size, true);
    add_linear(w, w->B, w->options->projection_hidden_size, w->options->projection_size, true);
}

/* Encoder, rep decoder and projector: what both networks have. */
static void add_trunk(walk *w, int64_t K)
{
    add_encoder(w, K);
    if (w->options->id_loss == FSFM_ID_NONE) return;
    add_rep_decoder(w, K);
    add_head(w, w->options->embed_dim);
}

/* The mask token goes through the first Linear once. In the first of several blocks the gaps of a place are
 * equal in all images until attention: their q, k and v are made once a micro-batch. In the last block only
 * the patches that a loss looks at are queries and go on. */
static void add_pixel_decoder(walk *w, int64_t K)
{
    const fsfm_model_options *o = w->options;
    const bool saves = !w->plain && K < w->L;
    const int64_t B = w->B, L = w->L, C = o->decoder_embed_dim, masked = saves ? L - K : 1 + L;
    add_linear(w, saves ? B * (1 + K) + 1 : B * (1 + L), o->embed_dim, C, true);
    for (int64_t i = 0; i < o->decoder_depth; i++) {
        block_rows rows = all_rows(w, 1 + L);
        if (saves && i + 1 == o->decoder_depth) {
            rows.queries = masked;
            rows.q = rows.rest = B * masked;
        } else if (saves && i == 0) {
            rows.q = rows.kv = B * (1 + K) + L;
        }
        add_block(w, C, &rows);
    }
    add_linear(w, B * masked, C, o->patch_size * o->patch_size * 3, true);
}

static walk begin(const fsfm_flops_setup *setup)
{
    const int64_t grid = setup->options->img_size / setup->options->patch_size;
    return (walk){.options = setup->options, .B = setup->B, .L = grid * grid, .plain = setup->plain};
}

static void walk_online(walk *w, int64_t K)
{
    w->trains = true;
    add_trunk(w, K);
    if (w->options->id_loss != FSFM_ID_NONE) add_head(w, w->options->projection_size); /* the predictor */
    add_pixel_decoder(w, K);
}

static void walk_target(walk *w, int64_t K)
{
    w->trains = false;
    if (w->options->id_loss == FSFM_ID_NONE) return;
    add_trunk(w, w->options->target_view == FSFM_TARGET_MASKED ? K : w->L);
}

fsfm_flops fsfm_flops_count(const fsfm_flops_setup *setup)
{
    const double B = (double)setup->B;
    walk online = begin(setup), target = begin(setup);
    walk_online(&online, setup->kept);
    walk_target(&target, setup->kept);
    return (fsfm_flops){.online_forward = online.forward / B,
                        .online_backward = online.backward / B,
                        .target = target.forward / B,
                        .step = (online.forward + online.backward + target.forward) / B};
}

int fsfm_flops_largest(const fsfm_flops_setup *setup, fsfm_product_shape *out, int max)
{
    walk w = begin(setup);
    int found = 0;
    walk_online(&w, setup->kept);
    walk_target(&w, setup->kept);
    for (; found < max && found < w.count; found++) {
        int best = 0;
        for (int i = 1; i < w.count; i++)
            if (w.shapes[i].flop > w.shapes[best].flop) best = i;
        out[found] = w.shapes[best].shape;
        w.shapes[best].flop = -1.0; /* taken */
    }
    return found;
}
