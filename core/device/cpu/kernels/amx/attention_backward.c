/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/attention_backward.c - the gradients of one head of one image.
 *
 * By blocks of keys, with scores turned round, keys as rows: then what vectors make of scores is what the
 * next products read as it is, only the gradient of q has to be turned at the end, and those of k and v are
 * complete when their block is done. */
#include "core/device/cpu/kernels/amx/head.h"
#include "core/device/cpu/kernels/amx/powers.h"
#include "core/device/cpu/kernels/scratch.h"
#include "core/device/cpu/kernels/table.h"

enum { BLOCK = SIDE };

typedef struct {
    extent query, key, channel;
    float scale, log_scale;                     /* of scores; the same to logarithms to base 2 */
    float *reference, *delta;                   /* of queries: what scores and dweights are relative to */
    word *q_rows, *dout_rows, *k_rows, *v_rows; /* q_rows and dout_rows are one */
    word *q_turned, *dout_turned;               /* panels of queries */
    word *q_pairs, *dout_pairs, *k_pairs;       /* panels of channels */
    word *k_across;                             /* channels as rows */
    float *scores[2], *dweights[2];             /* (BLOCK, SIDE): of a block and a step of queries */
    word *weights, *dscores;                    /* a block's rows */
    word *dscores_pairs;                        /* panels of queries, in the order of paired() */
    float *sums;                                /* (BLOCK, SIDE) */
    word *lines;                                /* (TILE, TILE) */
} head;

static head head_layout(int64_t Tq, int64_t T, int64_t D, word *base, int64_t *used)
{
    head h = {.query = extent_of(Tq), .key = extent_of(T), .channel = extent_of(D)};
    const int64_t queries = h.query.steps, keys = h.key.steps, channels = h.channel.steps;
    h.scale = 1.0f / sqrtf((float)D);
    h.log_scale = h.scale / LOG_2;
    *used = 0;
    h.reference = take(base, used, queries * STEP);
    h.delta = take(base, used, queries * STEP);
    h.q_rows = h.dout_rows = take(base, used, 2 * queries * channels * LEFT);
    h.k_rows = take(base, used, 2 * keys * channels * LEFT);
    h.v_rows = take(base, used, 2 * keys * channels * LEFT);
    h.q_turned = take(base, used, queries * channels * RIGHT);
    h.dout_turned = take(base, used, queries * channels * RIGHT);
    h.q_pairs = take(base, used, queries * channels * RIGHT);
    h.dout_pairs = take(base, used, queries * channels * RIGHT);
    h.k_pairs = take(base, used, keys * channels * RIGHT);
    h.k_across = take(base, used, keys * 2 * channels * LEFT);
    for (int i = 0; i < 2; i++) {
        h.scores[i] = take(base, used, BLOCK * SIDE);
        h.dweights[i] = take(base, used, BLOCK * SIDE);
    }
    h.weights = take(base, used, 2 * queries * LEFT);
    h.dscores = take(base, used, 2 * queries * LEFT);
    h.dscores_pairs = take(base, used, queries * keys * RIGHT);
    h.sums = take(base, used, BLOCK * SIDE);
    h.lines = take(base, used, LEFT);
    return h;
}

size_t KERNEL(attention_backward_scratch_bytes)(int64_t Tq, int64_t T, int64_t D)
{
    int64_t used;
    head_layout(Tq, T, D, NULL, &used);
    return (size_t)used * sizeof(word);
}

/* Constants of the queries; those that are not there get no weight. dout_rows are packed. */
static void set_query_constants(const head *h, const float *log_sum, const act *out, int64_t C)
{
    const int64_t T = h->query.count, channels = h->channel.steps;
    for (int64_t t = 0; t < h->query.steps * STEP; t += TILE) {
        const int64_t count = T - t < TILE ? T - t : TILE;
        const __mmask16 mask = (__mmask16)(count > 0 ? (1u << count) - 1 : 0u);
        const vf start = (vf)_mm512_maskz_loadu_ps(mask, log_sum + t) / LOG_2 - 0.5f; /* see power_of_2() */
        vf row[TILE] = {{0}};
        for (int64_t i = 0; i < count; i++)
            for (int64_t s = 0; s < channels; s++)
                row[i] =
                    multiply_add(row[i], line_load(out + (t + i) * C + s * STEP, present(&h->channel, s)),
                                 words_load(h->dout_rows + (t / TILE * channels + s) * LEFT + i * TILE));
        vf_store(h->delta + t, rows_total(row));
        vf_store(h->reference + t, (vf)_mm512_mask_mov_ps((__m512)vf_set(INFINITY), mask, (__m512)start));
    }
}

static void pack(const head *h, const fsfm_attention_backward_args *args, int64_t image, int64_t channel)
{
    const int64_t C = args->H * args->D, T = args->Tq, query = image * T * args->q_stride + channel,
                  key = image * args->T * args->kv_stride + channel, at = image * T * C + channel;
    pack_rows(&h->query, &h->channel, (const act *)args->q + query, args->q_stride, h->q_rows);
    turn_rows(&h->query, &h->channel, h->q_rows, h->q_turned);
    pair_rows(&h->query, &h->channel, h->q_rows, h->q_pairs);
    pack_rows(&h->query, &h->channel, (const act *)args->dout + at, C, h->dout_rows);
    turn_rows(&h->query, &h->channel, h->dout_rows, h->dout_turned);
    pair_rows(&h->query, &h->channel, h->dout_rows, h->dout_pairs);
    set_query_constants(h, args->log_sum + image * args->H * T + channel / args->D * T,
                        (const act *)args->out + at, C);
    pack_rows(&h->key, &h->channel, (const act *)args->k + key, args->kv_stride, h->k_rows);
    pair_rows(&h->key, &h->channel, h->k_rows, h->k_pairs);
    for (int64_t i = 0; i < h->channel.tiles; i++)
        for (int64_t s = 0; s < h->key.steps; s++)
            transpose_whole(h->k_pairs + (i / 2 * h->key.steps + s) * RIGHT + i % 2 * TILE, SIDE,
                            h->k_across + (i * h->key.steps + s) * LEFT, TILE);
    pack_rows(&h->key, &h->channel, (const act *)args->v + key, args->kv_stride, h->v_rows);
}

/* A block of keys against a step of the queries. */
static tile_factors scores_factors(const head *h, const word *rows, int64_t block, const word *turned,
                                   int64_t step)
{
    const int64_t depth = h->channel.steps;
    return factors_of(rows + 2 * block * depth * LEFT, 2 * block + 1 < h->key.tiles,
                      turned + step * depth * RIGHT, 2 * step + 1 == h->query.tiles, depth);
}

/* The weights of a key i of a block against a step of queries, and its scores' gradients: lines of rows. */
ALWAYS_INLINE vu weigh_key(const head *h, int64_t i, int64_t step, bool is_narrow, float bias)
{
    const int64_t at = step * STEP, row = (i / TILE * h->query.steps + step) * LEFT + i % TILE * TILE;
    const float *p = h->scores[step % 2] + i * SIDE, *dp = h->dweights[step % 2] + i * SIDE;
    const float *reference = h->reference + at, *delta = h->delta + at;
    const vf first = power_of_2(vf_load(p) * h->log_scale - (vf_load(reference) - bias)),
             dfirst = first * (vf_load(dp) - vf_load(delta));
    vf second = {0}, dsecond = {0};
    if (!is_narrow) {
        second = power_of_2(vf_load(p + VW) * h->log_scale - (vf_load(reference + VW) - bias));
        dsecond = second * (vf_load(dp + VW) - vf_load(delta + VW));
    }
    const vu dscores = line_of(dfirst, dsecond);
    words_store(h->weights + row, line_of(first, second));
    words_store(h->dscores + row, dscores);
    return dscores;
}

/* A panel's row of two keys' lines: words across them, in an order that is cheap. The first half has queries
 * 0 to 3, 8 to 11, ..., see paired(). */
ALWAYS_INLINE void pair_lines(vu even, vu odd, word *out)
{
    words_store(out, (vu)_mm512_unpacklo_epi16((__m512i)even, (__m512i)odd));
    words_store(out + TILE, (vu)_mm512_unpackhi_epi16((__m512i)even, (__m512i)odd));
}

/* The query in column c of a panel's half. */
static int64_t paired(int64_t half, int64_t c)
{
    return c / 4 * 8 + half * 4 + c % 4;
}

/* Keys [first, last) of a block, of so many that are there, against a step of the queries; first and last are
 * even.
 */
ALWAYS_INLINE void weigh_keys(const head *h, int64_t block, int64_t step, bool is_narrow, int64_t first,
                              int64_t last, float last_bias)
{
    word *pairs = h->dscores_pairs + (step * h->key.steps + block) * RIGHT + first / PER_WORD * SIDE;
    const int64_t count = h->key.count - block * BLOCK, whole = (count - 1) / PER_WORD * PER_WORD;
    int64_t i = first;
    for (; i < last && i < whole; i += PER_WORD, pairs += SIDE)
        pair_lines(weigh_key(h, i, step, is_narrow, 0.0f), weigh_key(h, i + 1, step, is_narrow, 0.0f), pairs);
    for (; i < last; i += PER_WORD, pairs += SIDE) {
        vu even = {0}, odd = {0};
        if (i < count) even = weigh_key(h, i, step, is_narrow, i + 1 == count ? last_bias : 0.0f);
        if (i + 1 < count) odd = weigh_key(h, i + 1, step, is_narrow, i + 2 == count ? last_bias : 0.0f);
        pair_lines(even, odd, pairs);
    }
}

static void weigh(const head *h, int64_t block, int64_t step, int64_t first, int64_t last, float last_bias)
{
    if (2 * step + 1 == h->query.tiles)
        weigh_keys(h, block, step, true, first, last, last_bias);
    else
        weigh_keys(h, block, step, false, first, last, last_bias);
}

/* A block against all queries. Products go a step ahead of vectors. */
static void weigh_block(const head *h, int64_t block, float last_bias)
{
    for (int64_t step = -1; step < h->query.steps; step++) {
        const int64_t next = step + 1;
        const bool has_next = next < h->query.steps;
        tile_factors factors;
        if (has_next) {
            factors = scores_factors(h, h->k_rows, block, h->q_turned, next);
            multiply(&factors, h->channel.steps);
        }
        if (step >= 0) weigh(h, block, step, 0, BLOCK / 2, last_bias);
        if (has_next) {
            tiles_store(&factors, h->scores[next % 2], SIDE);
            factors = scores_factors(h, h->v_rows, block, h->dout_turned, next);
            multiply(&factors, h->channel.steps);
        }
        if (step >= 0) weigh(h, block, step, BLOCK / 2, BLOCK, last_bias);
        if (has_next) tiles_store(&factors, h->dweights[next % 2], SIDE);
    }
}

/* out (keys of a block, channels), rows of stride, = scale x rows times pairs. */
static void put_product(const head *h, int64_t block, const word *rows, const word *pairs, float scale,
                        act *out, int64_t stride)
{
    const int64_t steps = h->query.steps, left = h->key.count - block * BLOCK,
                  count = left < BLOCK ? left : BLOCK;
    for (int64_t panel = 0; panel < h->channel.steps; panel++) {
        const __mmask32 mask = present(&h->channel, panel);
        const tile_factors factors = factors_of(rows, count > TILE, pairs + panel * steps * RIGHT,
                                                2 * panel + 1 == h->channel.tiles, steps);
        multiply(&factors, steps);
        tiles_store(&factors, h->sums, SIDE);
        const float *x = h->sums;
        for (int64_t i = 0; i < count; i++, x += SIDE)
            line_store(out + (block * BLOCK + i) * stride + panel * SIDE, mask,
                       line_of(vf_load(x) * scale, vf_load(x + VW) * scale));
    }
}

/* Half a panel's queries, from sums with channels as rows. */
static void put_queries(const head *h, int64_t step, int64_t half, int64_t panel, act *dq, int64_t stride)
{
    word across[LEFT] __attribute__((aligned(64)));
    const float *x = h->sums + half * TILE;
    for (int64_t i = 0; i < TILE; i++, x += PER_WORD * SIDE)
        words_store(across + i * TILE, words_across(vf_load(x) * h->scale, vf_load(x + SIDE) * h->scale));
    transpose_whole(across, TILE, h->lines, TILE);
    for (int64_t i = 0; i < TILE; i++) {
        const int64_t t = step * STEP + paired(half, i);
        if (t < h->query.count)
            line_store(dq + t * stride + panel * SIDE, present(&h->channel, panel),
                       words_load(h->lines + i * TILE));
    }
}

static void put_dq(const head *h, act *dq, int64_t stride)
{
    const int64_t depth = h->key.steps;
    for (int64_t step = 0; step < h->query.steps; step++)
        for (int64_t panel = 0; panel < h->channel.steps; panel++) {
            const tile_factors factors =
                factors_of(h->k_across + 2 * panel * depth * LEFT, 2 * panel + 1 < h->channel.tiles,
                           h->dscores_pairs + step * depth * RIGHT, false, depth);
            multiply(&factors, depth);
            tiles_store(&factors, h->sums, SIDE);
            for (int64_t half = 0; half < 2; half++) put_queries(h, step, half, panel, dq, stride);
        }
}

void KERNEL(attention_backward)(const fsfm_attention_backward_args *args, const fsfm_cpu_head *at,
                                void *scratch)
{
    int64_t used;
    const head h = head_layout(args->Tq, args->T, args->D, scratch, &used);
    const int64_t channel = at->head * args->D, key = at->image * args->T * args->kv_stride + channel;
    const float last_bias = logf(args->last_multiplicity) / LOG_2;
    pack(&h, args, at->image, channel);
    tiles_begin();
    for (int64_t block = 0; block < h.key.steps; block++) {
        weigh_block(&h, block, last_bias);
        put_product(&h, block, h.weights, h.dout_pairs, 1.0f, (act *)args->dv + key, args->kv_stride);
        put_product(&h, block, h.dscores, h.q_pairs, h.scale, (act *)args->dk + key, args->kv_stride);
    }
    put_dq(&h, (act *)args->dq + at->image * args->Tq * args->q_stride + channel, args->q_stride);
    tiles_end();
}
