/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/attention.c - one head of one image, in the processor's tiles.
 *
 * q, k, v and dout of the head are packed first: as "rows" (Td, Dw) of words along the channels, from those
 * "turned" (Dw, Tp) and in "pairs" (words of Td, Dp) across tokens. Padding is zero; Tp: tokens in whole
 * tiles of a right factor; Td: in whole tiles of a depth; Dp: channels likewise, Dw: their words. The forward
 * pass goes by blocks of queries. The backward pass goes by blocks of keys, with scores turned round: then
 * each tile is what the next product reads, only the gradient of q has to be turned at the end, and those of
 * k and v are complete when their block is done. */
#include "core/device/cpu/kernels/attention.h"
#include "core/device/cpu/kernels/amx/tiles.h"
#include "core/device/cpu/kernels/pack.h"
#include "core/device/cpu/kernels/table.h"

enum { BLOCK = SIDE, ROWS_AHEAD = 24 /* whose reads are asked for */ };

/* Tokens of one kind, keys or queries. */
typedef struct {
    int64_t T, Tp, Td;
} tokens;

typedef struct {
    tokens query, key;
    int64_t D, Dp, Dw;
    float scale;
    softmax_keys keys;
    word *q_rows, *k_rows, *v_rows, *dout_rows; /* (Td, Dw) */
    word *q_t, *k_t, *dout_t;                   /* (Dw, Tp) */
    word *q_pairs, *k_pairs, *v_pairs, *dout_pairs;
    word *k_pairs_t;        /* (Dp, words of Td) */
    float *p, *ds;          /* (BLOCK, Tp) */
    word *p_rows, *ds_rows; /* (BLOCK, words of Td) */
    word *ds_pairs;         /* (words of the keys' Td, the queries' Tp) */
    float *log_sum, *delta; /* (the queries' Tp) */
    float *o;               /* (BLOCK, Dp) */
    float *dq_t, *dq;       /* (Dp, Tp), (Tp, Dp) */
} head;

static tokens tokens_of(int64_t T)
{
    const int64_t depth = TILE * PER_WORD;
    return (tokens){T, padded(T), (T + depth - 1) / depth * depth};
}

static head head_of(int64_t Tq, int64_t T, int64_t D)
{
    head h = {.query = tokens_of(Tq), .key = tokens_of(T), .D = D, .Dp = tokens_of(D).Td};
    h.Dw = words_of(h.Dp);
    h.scale = 1.0f / sqrtf((float)D);
    h.keys = (softmax_keys){h.key.Tp, h.scale / EXP_BASE_LOG, NULL};
    return h;
}

static head forward_layout(int64_t Tq, int64_t T, int64_t D, word *base, int64_t *used)
{
    head h = head_of(Tq, T, D);
    *used = 0;
    h.keys.bias = take(base, used, h.key.Tp);
    h.q_rows = take(base, used, h.query.Td * h.Dw);
    h.k_rows = h.v_rows = take(base, used, h.key.Td * h.Dw);
    h.k_t = take(base, used, h.Dw * h.key.Tp);
    h.v_pairs = take(base, used, words_of(h.key.Td) * h.Dp);
    h.p = take(base, used, BLOCK * h.key.Tp);
    h.p_rows = take(base, used, BLOCK * words_of(h.key.Td));
    h.o = take(base, used, BLOCK * h.Dp);
    return h;
}

static head backward_layout(int64_t Tq, int64_t T, int64_t D, word *base, int64_t *used)
{
    head h = head_of(Tq, T, D);
    const tokens *query = &h.query, *key = &h.key;
    *used = 0;
    h.log_sum = take(base, used, query->Tp);
    h.delta = take(base, used, query->Tp);
    h.q_rows = h.dout_rows = take(base, used, query->Td * h.Dw);
    h.k_rows = take(base, used, key->Td * h.Dw);
    h.v_rows = take(base, used, key->Td * h.Dw);
    h.q_t = take(base, used, h.Dw * query->Tp);
    h.dout_t = take(base, used, h.Dw * query->Tp);
    h.q_pairs = take(base, used, words_of(query->Td) * h.Dp);
    h.dout_pairs = take(base, used, words_of(query->Td) * h.Dp);
    h.k_pairs = take(base, used, words_of(key->Td) * h.Dp);
    h.k_pairs_t = take(base, used, words_of(key->Td) * h.Dp);
    h.p = take(base, used, BLOCK * query->Tp);
    h.ds = take(base, used, BLOCK * query->Tp);
    h.p_rows = take(base, used, BLOCK * words_of(query->Td));
    h.ds_rows = take(base, used, BLOCK * words_of(query->Td));
    h.ds_pairs = take(base, used, words_of(key->Td) * query->Tp);
    h.o = take(base, used, BLOCK * h.Dp);
    h.dq_t = take(base, used, h.Dp * query->Tp);
    h.dq = take(base, used, h.Dp * query->Tp);
    return h;
}

size_t KERNEL(attention_scratch_bytes)(int64_t Tq, int64_t T, int64_t D, bool backward)
{
    int64_t used;
    if (backward)
        backward_layout(Tq, T, D, NULL, &used);
    else
        forward_layout(Tq, T, D, NULL, &used);
    return (size_t)used * sizeof(word);
}

/* c (rows, columns), rows of c_row floats, = a (rows, depth) b (depth, columns), with rows of a_row and b_row
 * words: whole tiles, all of them. */
static void multiply(int64_t rows, int64_t columns, int64_t depth, const word *a, int64_t a_row,
                     const word *b, int64_t b_row, float *c, int64_t c_row)
{
    for (int64_t j = 0; j < columns; j += SIDE)
        for (int64_t i = 0; i < rows; i += SIDE) {
            const word *upper = a + i * a_row;
            const tile_factors factors = {.upper = (const char *)upper,
                                          .lower =
                                              i + TILE < rows ? (const char *)(upper + TILE * a_row) : NULL,
                                          .row_bytes = a_row * (int64_t)sizeof *a,
                                          .step_bytes = TILE_BYTES,
                                          .right = (const char *)(b + j),
                                          .right_row_bytes = b_row * (int64_t)sizeof *b,
                                          .is_narrow = j + TILE >= columns};
            tiles_zero();
            for (int64_t k = 0; k < depth / TILE; k++) tiles_step(&factors, k);
            tiles_store(&factors, c + i * c_row + j, c_row);
        }
}

/* out (Td, Dw) = x, from rows of stride, which lie far apart. */
static void pack_rows(const head *h, const tokens *t, const act *x, int64_t stride, word *out)
{
    const int64_t D = h->D;
    act *to = (act *)out;
    for (int64_t i = 0; i < t->T; i++, x += stride, to += h->Dp) {
        prefetch_row(x + ROWS_AHEAD * stride, D * (int64_t)sizeof *x);
        for (int64_t d = 0; d < h->Dp; d += VW) act_store(to + d, d < D ? act_load_at(x, d, D) : (vf){0});
    }
    memset(to, 0, (size_t)((t->Td - t->T) * h->Dp) * sizeof *to);
}

/* out (Dw, Tp) = rows turned round. */
static void turn_rows(const head *h, const tokens *t, const word *rows, word *out)
{
    words_transpose(rows, h->Dw, t->Tp, h->Dw, out, t->Tp);
}

/* out (words of Td, Dp) = rows, in pairs. */
static void pair_rows(const head *h, const tokens *t, const word *rows, word *out)
{
    const act *x = (const act *)rows;
    for (int64_t i = 0; i < t->Td; i += PER_WORD, x += PER_WORD * h->Dp, out += h->Dp)
        for (int64_t d = 0; d < h->Dp; d += VW) words_store(out + d, words_zip(x + d, x + h->Dp + d));
}

/* Words of the depth that no softmax sets. */
static void clear_depth(const tokens *t, word *rows)
{
    const int64_t set = words_of(t->Tp), row = words_of(t->Td);
    for (int64_t i = 0; i < BLOCK; i++) memset(rows + i * row + set, 0, (size_t)(row - set) * sizeof *rows);
}

void KERNEL(attention)(const fsfm_attention_args *args, int64_t image, int64_t head_index, void *scratch)
{
    int64_t used;
    const head h = forward_layout(args->Tq, args->T, args->D, scratch, &used);
    const int64_t C = args->H * h.D, Tq = h.query.T, Tp = h.key.Tp, Tw = words_of(h.key.Td),
                  channel = head_index * h.D, key = image * args->T * args->kv_stride + channel;
    act *out = (act *)args->out + image * Tq * C + channel;
    float *log_sum = args->log_sum ? args->log_sum + (image * args->H + head_index) * Tq : NULL;
    set_bias(&h.keys, h.key.T, args->last_multiplicity);
    pack_rows(&h, &h.query, (const act *)args->q + image * Tq * args->q_stride + channel, args->q_stride,
              h.q_rows);
    pack_rows(&h, &h.key, (const act *)args->k + key, args->kv_stride, h.k_rows);
    turn_rows(&h, &h.key, h.k_rows, h.k_t);
    pack_rows(&h, &h.key, (const act *)args->v + key, args->kv_stride, h.v_rows);
    pair_rows(&h, &h.key, h.v_rows, h.v_pairs);
    clear_depth(&h.key, h.p_rows);
    tiles_begin();
    for (int64_t first = 0; first < Tq; first += BLOCK) {
        const int64_t rows = Tq - first < BLOCK ? Tq - first : BLOCK;
        float inverse[BLOCK];
        multiply(rows, Tp, h.Dw, h.q_rows + first * h.Dw, h.Dw, h.k_t, Tp, h.p, Tp);
        for (int64_t i = 0; i < rows; i++) {
            float sum;
            const float largest = softmax_row(&h.keys, h.p + i * Tp, h.p_rows + i * Tw, &sum);
            inverse[i] = 1.0f / sum;
            if (log_sum) log_sum[first + i] = largest * EXP_BASE_LOG + logf(sum);
        }
        multiply(rows, h.Dp, Tw, h.p_rows, Tw, h.v_pairs, h.Dp, h.o, h.Dp);
        for (int64_t i = 0; i < rows; i++)
            unpack_rows(1, h.D, h.o + i * h.Dp, h.Dp, inverse[i], out + (first + i) * C, C);
    }
    tiles_end();
}

/* Queries t .. t + VW - 1 of key i of a block, whose bias is given: e is the softmax of the scores in p, d =
 * e (ds - delta) with the gradient of e in ds. */
ALWAYS_INLINE void softmax_backward(const head *h, int64_t i, int64_t t, float bias, vf *e, vf *d)
{
    const int64_t at = i * h->query.Tp + t, word_at = i * words_of(h->query.Td);
    *e = act_exp(vf_load(h->p + at) * h->keys.scale - (vf_load(h->log_sum + t) - bias));
    *d = *e * (vf_load(h->ds + at) - vf_load(h->delta + t));
    words_along(h->p_rows + word_at, t, *e);
    words_along(h->ds_rows + word_at, t, *d);
}

/* A block of the keys from first on; those that are not there have no gradient. */
static void softmax_backward_block(const head *h, int64_t first, float last_bias)
{
    const int64_t Tp = h->query.Tp, last = h->key.T - 1 - first;
    for (int64_t i = 0; i < BLOCK; i += PER_WORD) {
        word *pairs = h->ds_pairs + (first + i) / PER_WORD * Tp;
        for (int64_t t = 0; t < Tp; t += VW) {
            vf e, even = {0}, odd = {0};
            if (i <= last) softmax_backward(h, i, t, i == last ? last_bias : 0.0f, &e, &even);
            if (i + 1 <= last) softmax_backward(h, i + 1, t, i + 1 == last ? last_bias : 0.0f, &e, &odd);
            words_store(pairs + t, words_across(even, odd));
        }
    }
}

/* Constants of the queries; those that are not there get no weight. */
static void set_query_constants(const head *h, const float *log_sum, const act *out, const act *dout,
                                int64_t C)
{
    for (int64_t t = 0; t < h->query.Tp; t++) {
        h->log_sum[t] = t < h->query.T ? log_sum[t] / EXP_BASE_LOG : INFINITY;
        h->delta[t] = t < h->query.T ? dot_row(dout + t * C, out + t * C, h->D) : 0.0f;
    }
}

static void pack_backward(const head *h, const fsfm_attention_backward_args *args, const act *q, const act *k,
                          const act *v, const act *dout)
{
    pack_rows(h, &h->query, q, args->q_stride, h->q_rows);
    turn_rows(h, &h->query, h->q_rows, h->q_t);
    pair_rows(h, &h->query, h->q_rows, h->q_pairs);
    pack_rows(h, &h->query, dout, args->H * args->D, h->dout_rows);
    turn_rows(h, &h->query, h->dout_rows, h->dout_t);
    pair_rows(h, &h->query, h->dout_rows, h->dout_pairs);
    pack_rows(h, &h->key, k, args->kv_stride, h->k_rows);
    pair_rows(h, &h->key, h->k_rows, h->k_pairs);
    words_transpose(h->k_pairs, h->Dp, words_of(h->key.Td), h->Dp, h->k_pairs_t, words_of(h->key.Td));
    pack_rows(h, &h->key, v, args->kv_stride, h->v_rows);
    clear_depth(&h->query, h->p_rows);
    clear_depth(&h->query, h->ds_rows);
}

/* The gradients of k and v, complete, and the share of the scores' gradient that q's will need. */
static void backward_block(const head *h, int64_t first, float last_bias, act *dk, act *dv, int64_t stride)
{
    const int64_t rows = h->key.T - first < BLOCK ? h->key.T - first : BLOCK;
    const int64_t Tp = h->query.Tp, Tw = words_of(h->query.Td);
    multiply(rows, Tp, h->Dw, h->k_rows + first * h->Dw, h->Dw, h->q_t, Tp, h->p, Tp);
    multiply(rows, Tp, h->Dw, h->v_rows + first * h->Dw, h->Dw, h->dout_t, Tp, h->ds, Tp);
    softmax_backward_block(h, first, last_bias);
    multiply(rows, h->Dp, Tw, h->p_rows, Tw, h->dout_pairs, h->Dp, h->o, h->Dp);
    unpack_rows(rows, h->D, h->o, h->Dp, 1.0f, dv + first * stride, stride);
    multiply(rows, h->Dp, Tw, h->ds_rows, Tw, h->q_pairs, h->Dp, h->o, h->Dp);
    unpack_rows(rows, h->D, h->o, h->Dp, h->scale, dk + first * stride, stride);
}

void KERNEL(attention_backward)(const fsfm_attention_backward_args *args, int64_t image, int64_t head_index,
                                void *scratch)
{
    int64_t used;
    const head h = backward_layout(args->Tq, args->T, args->D, scratch, &used);
    const int64_t C = args->H * h.D, Tq = h.query.T, Tp = h.query.Tp, channel = head_index * h.D,
                  query = image * Tq * args->q_stride + channel,
                  key = image * h.key.T * args->kv_stride + channel, at = image * Tq * C + channel;
    const act *dout = (const act *)args->dout + at;
    set_query_constants(&h, args->log_sum + (image * args->H + head_index) * Tq, (const act *)args->out + at,
                        dout, C);
    pack_backward(&h, args, (const act *)args->q + query, (const act *)args->k + key,
                  (const act *)args->v + key, dout);
    tiles_begin();
    for (int64_t first = 0; first < h.key.T; first += BLOCK)
        backward_block(&h, first, logf(args->last_multiplicity) / EXP_BASE_LOG, (act *)args->dk + key,
                       (act *)args->dv + key, args->kv_stride);
    multiply(h.Dp, Tp, words_of(h.key.Td), h.k_pairs_t, words_of(h.key.Td), h.ds_pairs, Tp, h.dq_t, Tp);
    tiles_end();
    words_transpose((const word *)h.dq_t, Tp, h.Dp, Tp, (word *)h.dq, h.Dp);
    unpack_rows(Tq, h.D, h.dq, h.Dp, h.scale, (act *)args->dq + query, args->q_stride);
}
