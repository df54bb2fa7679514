/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/work.h"

/* Passes over an array where norm and residual are one kernel, GELU another, and gradients of biases come out
 * of the product: a norm reads stream and branch and writes both; backward as much; GELU reads and writes;
 * its backward reads two and writes one. */
enum { NORM_PASSES = 4, GELU_PASSES = 2, GELU_BACKWARD_PASSES = 3 };

/* Where a walk is. */
typedef struct {
    const fsfm_work_setup *setup;
    const fsfm_model_options *options;
    int64_t B, L;
    fsfm_part part;
    bool is_target, is_again; /* again: only what a block computes once more */
    bool is_whole;            /* what comes now is computed in fp32 (fsfm_device's whole) */
    fsfm_work_fn visit;
    void *context;
} walk;

const char *fsfm_part_name(fsfm_part part)
{
    static const char *const names[FSFM_PARTS] = {"encoder", "rep_decoder", "pixel_decoder", "heads",
                                                  "target"};
    return names[part];
}

/* The target network is one part, whatever of it is walked through. */
static void enter(walk *w, fsfm_part part)
{
    w->part = w->is_target ? FSFM_PART_TARGET : part;
}

static void add_product(const walk *w, const char *name, fsfm_pass pass, fsfm_product_shape shape)
{
    const fsfm_work work = {.kind = FSFM_WORK_PRODUCT,
                            .part = w->part,
                            .pass = pass,
                            .name = name,
                            .shape = shape,
                            .is_whole = w->is_whole && w->setup->precision == FSFM_PRECISION_BF16};
    w->visit(w->context, &work);
}

static void add_forward(const walk *w, const char *name, int64_t rows, int64_t in, int64_t out)
{
    add_product(w, name, w->is_again ? FSFM_PASS_AGAIN : FSFM_PASS_FORWARD,
                (fsfm_product_shape){rows, out, in, false, true});
}

/* A Linear on rows; wants_dx false: nothing in front of it learns. */
static void add_linear(const walk *w, const char *name, int64_t rows, int64_t in, int64_t out, bool wants_dx)
{
    add_forward(w, name, rows, in, out);
    if (w->is_target || w->is_again) return;
    if (wants_dx) add_product(w, name, FSFM_PASS_DX, (fsfm_product_shape){rows, in, out, false, false});
    add_product(w, name, FSFM_PASS_DW, (fsfm_product_shape){out, in, rows, true, false});
}

static void add_attention(const walk *w, int64_t queries, int64_t keys, int64_t C)
{
    fsfm_work work = {.kind = FSFM_WORK_ATTENTION, .part = w->part, .name = "attention"};
    work.pass = w->is_again ? FSFM_PASS_AGAIN : FSFM_PASS_FORWARD;
    work.queries = queries;
    work.keys = keys;
    work.C = C;
    w->visit(w->context, &work);
    if (w->is_target || w->is_again) return;
    work.pass = FSFM_PASS_DX;
    w->visit(w->context, &work);
}

static void add_rows(const walk *w, const char *name, int64_t rows, int64_t C, int64_t passes,
                     int64_t backward_passes)
{
    fsfm_work work = {.kind = FSFM_WORK_ROWS, .part = w->part, .name = name};
    work.pass = w->is_again ? FSFM_PASS_AGAIN : FSFM_PASS_FORWARD;
    work.rows = rows;
    work.C = C;
    work.passes = passes;
    w->visit(w->context, &work);
    if (w->is_target || w->is_again) return;
    work.pass = FSFM_PASS_DX;
    work.passes = backward_passes;
    w->visit(w->context, &work);
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

/* In bf16 the online rep decoder projects with whole weights: once more, with what rounding took of them. */
static bool takes_rest(const walk *w)
{
    return w->part == FSFM_PART_REP_DECODER && w->setup->precision == FSFM_PRECISION_BF16;
}

static void add_block_once(const walk *w, int64_t C, const block_rows *rows)
{
    const int64_t F = (int64_t)((double)C * w->options->mlp_ratio);
    add_rows(w, "norm1", rows->kv, C, NORM_PASSES, NORM_PASSES);
    if (takes_rest(w)) add_forward(w, "qkv_rest", rows->q, C, 3 * C);
    if (rows->q == rows->kv) {
        add_linear(w, "qkv", rows->q, C, 3 * C, true);
    } else {
        add_linear(w, "q", rows->q, C, C, true);
        add_linear(w, "kv", rows->kv, C, 2 * C, true);
    }
    add_attention(w, rows->queries, rows->keys, C);
    add_linear(w, "proj", rows->rest, C, C, true);
    add_rows(w, "norm2", rows->rest, C, NORM_PASSES, NORM_PASSES);
    add_linear(w, "fc1", rows->rest, C, F, true);
    add_rows(w, "gelu", rows->rest, F, GELU_PASSES, GELU_BACKWARD_PASSES);
    add_linear(w, "fc2", rows->rest, F, C, true);
}

static void add_block(walk *w, int64_t C, const block_rows *rows)
{
    add_block_once(w, C, rows);
    if (w->is_target || !w->setup->recomputes_blocks) return;
    w->is_again = true;
    add_block_once(w, C, rows);
    w->is_again = false;
}

static void add_encoder(walk *w, int64_t K)
{
    const fsfm_model_options *o = w->options;
    const block_rows rows = all_rows(w, 1 + K);
    enter(w, FSFM_PART_ENCODER);
    add_linear(w, "patch", w->B * K, o->patch_size * o->patch_size * 3, o->embed_dim, false);
    for (int64_t i = 0; i < o->depth; i++) add_block(w, o->embed_dim, &rows);
}

/* Without a position table all masked tokens go as one. */
static void add_rep_decoder(walk *w, int64_t K)
{
    const fsfm_model_options *o = w->options;
    const bool as_one = !w->setup->plain && K < w->L && o->rep_pos == FSFM_REP_POS_ZEROS;
    const int64_t C = o->rep_decoder_embed_dim, T = as_one ? 1 + K + 1 : 1 + w->L;
    const block_rows rows = all_rows(w, T);
    enter(w, FSFM_PART_REP_DECODER);
    if (!o->id_rep_decoder) return;
    add_linear(w, "embed", w->B * (1 + K), o->embed_dim, C, true);
    for (int64_t i = 0; i < o->rep_decoder_depth; i++) add_block(w, C, &rows);
    w->is_whole = true;
    add_linear(w, "pred", w->setup->plain ? w->B * T : w->B, C, o->embed_dim, true);
    w->is_whole = false;
}

static void add_head(walk *w, const char *const names[2], int64_t in)
{
    enter(w, FSFM_PART_HEADS);
    w->is_whole = true;
    add_linear(w, names[0], w->B, in, w->options->projection_hidden_size, true);
    add_linear(w, names[1], w->B, w->options->projection_hidden_size, w->options->projection_size, true);
    w->is_whole = false;
}

/* Encoder, rep decoder and projector: what both networks have. */
static void add_trunk(walk *w, int64_t K)
{
    static const char *const names[2] = {"projector1", "projector2"};
    add_encoder(w, K);
    if (w->options->id_loss == FSFM_ID_NONE) return;
    add_rep_decoder(w, K);
    add_head(w, names, w->options->embed_dim);
}

/* The mask token goes through the first Linear once. In the first of several blocks the gaps of a place are
 * equal in all images until attention: their q, k and v are made once a micro-batch. In the last block only
 * the patches that a loss looks at are queries and go on. */
static void add_pixel_decoder(walk *w, int64_t K)
{
    const fsfm_model_options *o = w->options;
    const bool saves = !w->setup->plain && K < w->L;
    const int64_t B = w->B, L = w->L, C = o->decoder_embed_dim, masked = saves ? L - K : 1 + L;
    enter(w, FSFM_PART_PIXEL_DECODER);
    add_linear(w, "embed", saves ? B * (1 + K) + 1 : B * (1 + L), o->embed_dim, C, true);
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
    add_linear(w, "pred", B * masked, C, o->patch_size * o->patch_size * 3, true);
}

void fsfm_work_walk(const fsfm_work_setup *setup, fsfm_work_fn visit, void *context)
{
    static const char *const names[2] = {"predictor1", "predictor2"};
    const fsfm_model_options *o = setup->options;
    const int64_t grid = o->img_size / o->patch_size;
    walk w = {.setup = setup, .options = o, .B = setup->B, .L = grid * grid};
    w.visit = visit;
    w.context = context;
    add_trunk(&w, setup->kept);
    if (o->id_loss != FSFM_ID_NONE) add_head(&w, names, o->projection_size);
    add_pixel_decoder(&w, setup->kept);
    if (o->id_loss == FSFM_ID_NONE) return;
    w.is_target = true;
    add_trunk(&w, o->target_view == FSFM_TARGET_MASKED ? setup->kept : w.L);
}
