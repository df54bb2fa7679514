/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/vector/attention.c - one head of one image, with its scores in cache.
 *
 * q, k, v of the head are words already or are packed first, in words (words.h): "rows" (T, Dw) along their
 * channels, the same transposed (Dw, Tp), or "pairs" (Tw, Dp) across tokens; p: padded with zeros to whole
 * vectors, w: counted in words. Queries then go by blocks of at most BLOCK_MOST rows: scores, softmax and
 * what follows from them, so that the scores of a block stay in the near caches. */
#include "core/device/cpu/kernels/pack.h"
#include "core/device/cpu/kernels/scratch.h"
#include "core/device/cpu/kernels/table.h"
#include "core/device/cpu/kernels/tile.h"
#include "core/device/cpu/kernels/vector/softmax.h"

/* Rows of a block at most: of whole vectors, and even, so that no word reaches over a block's end. */
enum { BLOCK_MOST = 64 };

typedef struct {
    int64_t Tq, T, D, Tp, Dp, Dw, block;
    float scale;
    softmax_keys keys;
    word *q_rows, *dout_rows;                    /* (Tq, Dw) */
    word *rows;                                  /* (T, Dw): k, then v, where they are not turned in place */
    word *k_t, *v_t;                             /* (Dw, Tp) */
    word *k_pairs, *v_pairs;                     /* (words of T, Dp) */
    word *q_pairs, *dout_pairs;                  /* (words of Tq, Dp) */
    float *p, *ds;                               /* (block, Tp) */
    word *p_rows, *ds_rows, *p_pairs, *ds_pairs; /* of a block: (block, words of Tp), (words of block, Tp) */
    float *o;                                    /* (block, Dp) */
    float *dk, *dv;                              /* (T, Dp) */
} head;

/* Words of the numbers in floats: the floats themselves where they are words already. */
static word *own_words(float *floats, word *base, int64_t *used, int64_t count)
{
    return PER_WORD == 1 ? (word *)floats : take(base, used, count);
}

static head head_layout(int64_t Tq, int64_t T, int64_t D, bool backward, word *base, int64_t *used)
{
    head h = {.Tq = Tq, .T = T, .D = D, .Tp = padded(T), .Dp = padded(D), .Dw = words_of(D)};
    const int64_t blocks = (Tq + BLOCK_MOST - 1) / BLOCK_MOST;
    h.block = ((Tq + blocks - 1) / blocks + MR - 1) / MR * MR;
    h.scale = 1.0f / sqrtf((float)D);
    *used = 0;
    h.keys = (softmax_keys){h.Tp, h.scale / EXP_BASE_LOG, take(base, used, h.Tp)};
    h.q_rows = take(base, used, Tq * h.Dw);
    h.rows = take(base, used, T * h.Dw);
    h.k_t = take(base, used, h.Dw * h.Tp);
    h.p = take(base, used, h.block * h.Tp);
    h.p_rows = own_words(h.p, base, used, h.block * words_of(h.Tp));
    h.o = take(base, used, h.block * h.Dp);
    if (!backward) {
        h.v_pairs = take(base, used, words_of(T) * h.Dp);
    } else {
        h.dout_rows = take(base, used, Tq * h.Dw);
        h.v_t = take(base, used, h.Dw * h.Tp);
        h.k_pairs = take(base, used, words_of(T) * h.Dp);
        h.q_pairs = take(base, used, words_of(Tq) * h.Dp);
        h.dout_pairs = take(base, used, words_of(Tq) * h.Dp);
        h.ds = take(base, used, h.block * h.Tp);
        h.ds_rows = own_words(h.ds, base, used, h.block * words_of(h.Tp));
        h.p_pairs = own_words(h.p, base, used, words_of(h.block) * h.Tp);
        h.ds_pairs = own_words(h.ds, base, used, words_of(h.block) * h.Tp);
        h.dk = take(base, used, T * h.Dp);
        h.dv = take(base, used, T * h.Dp);
    }
    return h;
}

size_t KERNEL(attention_scratch_bytes)(int64_t Tq, int64_t T, int64_t D, bool backward)
{
    int64_t used;
    head_layout(Tq, T, D, backward, NULL, &used);
    return (size_t)used * sizeof(word);
}

/* out (T, Dw) = x, from rows of stride. */
static void pack_rows(const head *h, int64_t T, const act *x, int64_t stride, word *out)
{
    const int64_t D = h->D;
    for (int64_t t = 0; t < T; t++, x += stride, out += h->Dw) {
        int64_t d = 0;
        for (; d + VW <= D; d += VW) act_store((act *)out + d, act_load(x + d));
        if (d == D) continue;
        out[h->Dw - 1] = 0; /* half of it may be padding */
        memcpy((act *)out + d, x + d, (size_t)(D - d) * sizeof *x);
    }
}

/* Rows (T, Dw) of words, row words apart. */
typedef struct {
    const word *at;
    int64_t row;
} word_rows;

/* x (T, D), from rows of stride: where it lies if its rows are whole words there, else packed in scratch. */
static word_rows rows_of(const head *h, int64_t T, const act *x, int64_t stride, word *scratch)
{
    const void *in_place = x;
    if (h->D % PER_WORD == 0 && are_words(x, stride)) return (word_rows){in_place, stride / PER_WORD};
    pack_rows(h, T, x, stride, scratch);
    return (word_rows){scratch, h->Dw};
}

/* out (Dw, Tp) = x (T, D) turned round, from rows of stride. */
static void pack_keys(const head *h, const act *x, int64_t stride, word *out)
{
    const word_rows rows = rows_of(h, h->T, x, stride, h->rows);
    words_transpose(rows.at, rows.row, h->T, h->Dw, out, h->Tp);
}

/* out (words of T, Dp) = x (T, D), from rows of stride. */
static void pack_pairs(const head *h, int64_t T, const act *x, int64_t stride, word *out)
{
    for (int64_t t = 0; t < T; t += PER_WORD, x += PER_WORD * stride, out += h->Dp)
        for (int64_t d = 0; d < h->D; d += VW) {
            const vf even = act_load_at(x, d, h->D);
            const vf odd = PER_WORD == 2 && t + 1 < T ? act_load_at(x + stride, d, h->D) : (vf){0};
            words_store(out + d, words_across(even, odd));
        }
}

/* Rows of the block that begins at first. */
static int64_t rows_at(const head *h, int64_t first)
{
    return h->Tq - first < h->block ? h->Tq - first : h->block;
}

/* The softmax of a block of rows, without its division: inverse gets what their products have to be
 * multiplied with, log_sum (NULL: not wanted) the logarithms of the denominators. */
static void softmax_block(const head *h, int64_t rows, float *inverse, float *log_sum)
{
    const int64_t Pw = words_of(h->Tp);
    float largest[BLOCK_MOST] = {0}, total[BLOCK_MOST];
    for (int64_t i = 0; i < BLOCK_MOST; i++) total[i] = 1.0f;
    for (int64_t i = 0; i < rows; i += SOFTMAX_ROWS)
        if (i + SOFTMAX_ROWS <= rows)
            softmax_rows(SOFTMAX_ROWS, &h->keys, h->p + i * h->Tp, h->p_rows + i * Pw, Pw, largest + i,
                         total + i);
        else
            for (int64_t k = i; k < rows; k++)
                softmax_rows(1, &h->keys, h->p + k * h->Tp, h->p_rows + k * Pw, Pw, largest + k, total + k);
    for (int64_t i = 0; i < rows; i += VW) {
        const vf sum = vf_load(total + i);
        vf_store(inverse + i, 1.0f / sum);
        if (log_sum) vf_store_at(log_sum, vf_load(largest + i) * EXP_BASE_LOG + vf_log(sum), i, rows);
    }
}

/* How far from a head's numbers those of the head lie that is taken next: in arrays of queries, of keys and
 * values, and in outputs. None: is_there is false. */
typedef struct {
    bool is_there;
    int64_t q, kv, out;
} next_head;

static next_head next_of(const fsfm_cpu_head *at, const head *h, int64_t H, int64_t q_stride,
                         int64_t kv_stride)
{
    const int64_t images = at->next_image - at->image, channels = (at->next_head - at->head) * h->D;
    return (next_head){.is_there = at->next_image >= 0,
                       .q = images * h->Tq * q_stride + channels,
                       .kv = images * h->T * kv_stride + channels,
                       .out = images * h->Tq * H * h->D + channels};
}

/* Asks for rows [first, first + rows) of D numbers each. */
ALWAYS_INLINE void prefetch_rows(const act *x, int64_t stride, int64_t first, int64_t rows, int64_t D)
{
    for (int64_t t = first; t < first + rows; t++) prefetch_row(x + t * stride, D * (int64_t)sizeof *x);
}

/* The same of the keys' share of a block of queries. */
ALWAYS_INLINE void prefetch_keys(const head *h, const act *x, int64_t stride, int64_t first, int64_t rows)
{
    const int64_t begin = first * h->T / h->Tq;
    prefetch_rows(x, stride, begin, (first + rows) * h->T / h->Tq - begin, h->D);
}

static void attend(const fsfm_attention_args *args, const head *h, const fsfm_cpu_head *at, next_head next)
{
    const int64_t C = args->H * args->D, Pw = words_of(h->Tp), channel = at->head * h->D;
    const int64_t key = at->image * args->T * args->kv_stride + channel;
    const act *q = (const act *)args->q + at->image * args->Tq * args->q_stride + channel;
    const act *k = (const act *)args->k + key, *v = (const act *)args->v + key;
    act *out = (act *)args->out + at->image * args->Tq * C + channel;
    float *log_sum = args->log_sum ? args->log_sum + (at->image * args->H + at->head) * args->Tq : NULL;
    const word_rows q_rows = rows_of(h, h->Tq, q, args->q_stride, h->q_rows);
    pack_keys(h, k, args->kv_stride, h->k_t);
    pack_pairs(h, h->T, v, args->kv_stride, h->v_pairs);
    for (int64_t first = 0, rows; first < h->Tq; first += rows) {
        float inverse[BLOCK_MOST];
        rows = rows_at(h, first);
        if (next.is_there) {
            prefetch_rows(q + next.q, args->q_stride, first, rows, h->D);
            prefetch_keys(h, k + next.kv, args->kv_stride, first, rows);
            prefetch_keys(h, v + next.kv, args->kv_stride, first, rows);
        }
        KERNEL(multiply)
        (rows, h->Tp, h->Dw, q_rows.at + first * q_rows.row, q_rows.row, 1, h->k_t, h->Tp, h->p, h->Tp,
         false);
        softmax_block(h, rows, inverse, log_sum ? log_sum + first : NULL);
        KERNEL(multiply)
        (rows, h->Dp, words_of(h->T), h->p_rows, Pw, 1, h->v_pairs, h->Dp, h->o, h->Dp, false);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t d = 0; d < h->D; d += VW)
                act_store_at(out + (first + i) * C, vf_load(h->o + i * h->Dp + d) * inverse[i], d, h->D);
    }
}

void KERNEL(attention)(const fsfm_attention_args *args, const fsfm_cpu_head *at, void *scratch)
{
    int64_t used;
    const head h = head_layout(args->Tq, args->T, args->D, false, scratch, &used);
    set_bias(&h.keys, h.T, args->last_multiplicity);
    attend(args, &h, at, next_of(at, &h, args->H, args->q_stride, args->kv_stride));
}

typedef struct {
    float log_sum; /* of the softmax's denominator, to the base of act_exp() */
    float delta;   /* dout . out */
} row_constants;

/* e = softmax of the scores in p; d = e (ds - delta), with the gradient of e in ds. */
ALWAYS_INLINE void softmax_backward(const head *h, int64_t i, int64_t t, row_constants row, vf *e, vf *d)
{
    *e = act_exp(scores_at(&h->keys, h->p + i * h->Tp, t) - row.log_sum);
    *d = *e * (vf_load(h->ds + i * h->Tp + t) - row.delta);
}

/* Rows i .. i + PER_WORD - 1 of a block, as words along and across them; a row that is not there counts as
 * zeros. */
ALWAYS_INLINE void softmax_backward_rows(const int there, const head *h, int64_t i, const row_constants *row)
{
    const int64_t Pw = words_of(h->Tp), pair = i / PER_WORD * h->Tp;
    for (int64_t t = 0; t < h->Tp; t += VW) {
        vf e[2] = {{0}}, d[2] = {{0}};
        UNROLL for (int k = 0; k < there; k++) softmax_backward(h, i + k, t, row[i + k], &e[k], &d[k]);
        words_store(h->p_pairs + pair + t, words_across(e[0], e[1]));
        words_store(h->ds_pairs + pair + t, words_across(d[0], d[1]));
        UNROLL for (int k = 0; k < there; k++) words_along(h->ds_rows + (i + k) * Pw, t, d[k]);
    }
}

/* What a head reads and writes, from its first row on. */
typedef struct {
    const act *q, *k, *v, *out, *dout;
    const float *log_sum;
    act *dq, *dk, *dv;
} head_arrays;

static head_arrays arrays_of(const fsfm_attention_backward_args *args, int64_t image, int64_t head_index)
{
    const int64_t C = args->H * args->D, channel = head_index * args->D;
    const int64_t query = image * args->Tq * args->q_stride + channel,
                  key = image * args->T * args->kv_stride + channel, at = image * args->Tq * C + channel;
    return (head_arrays){
        (const act *)args->q + query, (const act *)args->k + key,
        (const act *)args->v + key,   (const act *)args->out + at,
        (const act *)args->dout + at, args->log_sum + (image * args->H + head_index) * args->Tq,
        (act *)args->dq + query,      (act *)args->dk + key,
        (act *)args->dv + key};
}

static void pack_backward(const head *h, const fsfm_attention_backward_args *args, const head_arrays *x)
{
    pack_keys(h, x->k, args->kv_stride, h->k_t);
    pack_keys(h, x->v, args->kv_stride, h->v_t);
    pack_pairs(h, h->T, x->k, args->kv_stride, h->k_pairs);
    pack_pairs(h, h->Tq, x->q, args->q_stride, h->q_pairs);
    pack_pairs(h, h->Tq, x->dout, args->H * args->D, h->dout_pairs);
}

ALWAYS_INLINE void prefetch_backward(const head *h, const fsfm_attention_backward_args *args,
                                     const head_arrays *x, next_head next, int64_t first, int64_t rows)
{
    prefetch_rows(x->q + next.q, args->q_stride, first, rows, h->D);
    prefetch_keys(h, x->k + next.kv, args->kv_stride, first, rows);
    prefetch_keys(h, x->v + next.kv, args->kv_stride, first, rows);
    prefetch_rows(x->dout + next.out, args->H * args->D, first, rows, h->D);
    prefetch_rows(x->out + next.out, args->H * args->D, first, rows, h->D);
}

/* Of a block: the softmax and the gradients of the scores, from them and from dout . v. */
static void weigh_block(const head *h, const head_arrays *x, int64_t C, int64_t first, int64_t rows)
{
    row_constants row[BLOCK_MOST];
    for (int64_t i = 0; i < rows; i++)
        row[i] = (row_constants){x->log_sum[first + i] / EXP_BASE_LOG,
                                 dot_row(x->dout + (first + i) * C, x->out + (first + i) * C, h->D)};
    for (int64_t i = 0; i < rows; i += PER_WORD)
        if (i + PER_WORD <= rows)
            softmax_backward_rows(PER_WORD, h, i, row);
        else
            softmax_backward_rows(1, h, i, row);
}

static void attend_backward(const fsfm_attention_backward_args *args, const head *h, const head_arrays *x,
                            next_head next)
{
    const int64_t C = args->H * args->D, Pw = words_of(h->Tp);
    const word_rows q = rows_of(h, h->Tq, x->q, args->q_stride, h->q_rows);
    const word_rows dout = rows_of(h, h->Tq, x->dout, C, h->dout_rows);
    pack_backward(h, args, x);
    for (int64_t first = 0, rows; first < h->Tq; first += rows) {
        rows = rows_at(h, first);
        const int64_t depth = words_of(rows), pairs = first / PER_WORD * h->Dp;
        if (next.is_there) prefetch_backward(h, args, x, next, first, rows);
        KERNEL(multiply)
        (rows, h->Tp, h->Dw, q.at + first * q.row, q.row, 1, h->k_t, h->Tp, h->p, h->Tp, false);
        KERNEL(multiply)
        (rows, h->Tp, h->Dw, dout.at + first * dout.row, dout.row, 1, h->v_t, h->Tp, h->ds, h->Tp, false);
        weigh_block(h, x, C, first, rows);
        KERNEL(multiply)
        (rows, h->Dp, words_of(h->T), h->ds_rows, Pw, 1, h->k_pairs, h->Dp, h->o, h->Dp, false);
        unpack_rows(rows, h->D, h->o, h->Dp, h->scale, x->dq + first * args->q_stride, args->q_stride);
        KERNEL(multiply)
        (h->T, h->Dp, depth, h->ds_pairs, 1, h->Tp, h->q_pairs + pairs, h->Dp, h->dk, h->Dp, first > 0);
        KERNEL(multiply)
        (h->T, h->Dp, depth, h->p_pairs, 1, h->Tp, h->dout_pairs + pairs, h->Dp, h->dv, h->Dp, first > 0);
    }
    unpack_rows(h->T, h->D, h->dk, h->Dp, h->scale, x->dk, args->kv_stride);
    unpack_rows(h->T, h->D, h->dv, h->Dp, 1.0f, x->dv, args->kv_stride);
}

void KERNEL(attention_backward)(const fsfm_attention_backward_args *args, const fsfm_cpu_head *at,
                                void *scratch)
{
    int64_t used;
    const head h = head_layout(args->Tq, args->T, args->D, true, scratch, &used);
    const head_arrays arrays = arrays_of(args, at->image, at->head);
    set_bias(&h.keys, h.T, args->last_multiplicity);
    attend_backward(args, &h, &arrays, next_of(at, &h, args->H, args->q_stride, args->kv_stride));
}
