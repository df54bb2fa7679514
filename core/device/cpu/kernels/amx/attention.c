/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/attention.c - one head of one image, in the processor's tiles.
 *
 * Queries go by blocks of a tile's rows. What vectors do with the scores of a block takes longer than its
 * products, so the scores of the next block are computed in between, into what has been used up. */
#include "core/device/cpu/kernels/amx/head.h"
#include "core/device/cpu/kernels/amx/powers.h"
#include "core/device/cpu/kernels/scratch.h"
#include "core/device/cpu/kernels/table.h"

typedef struct {
    extent query, key, channel;
    float scale;      /* from scores to logarithms to base 2 */
    float *bias;      /* (STEP), of the last step's keys */
    word *q, *rows;   /* rows of q; of k, then v */
    word *k_turned;   /* panels of keys */
    word *v_pairs;    /* panels of channels */
    float *scores;    /* of a block, for each step of the keys (TILE, STEP) */
    word *weights;    /* a block's rows */
    float *out;       /* (TILE, SIDE) */
    vf *sums;         /* (TILE), of a block */
    float *reference; /* (TILE), what scores are taken relative to */
} head;

static head head_layout(int64_t Tq, int64_t T, int64_t D, word *base, int64_t *used)
{
    head h = {.query = extent_of(Tq), .key = extent_of(T), .channel = extent_of(D)};
    const int64_t depth = h.channel.steps;
    h.scale = 1.0f / (sqrtf((float)D) * LOG_2);
    *used = 0;
    h.bias = take(base, used, STEP);
    h.q = take(base, used, 2 * h.query.steps * depth * LEFT);
    h.rows = take(base, used, 2 * h.key.steps * depth * LEFT);
    h.k_turned = take(base, used, h.key.steps * depth * RIGHT);
    h.v_pairs = take(base, used, h.key.steps * depth * RIGHT);
    h.scores = take(base, used, h.key.steps * TILE * STEP);
    h.weights = take(base, used, h.key.steps * LEFT);
    h.out = take(base, used, TILE * SIDE);
    h.sums = take(base, used, TILE * VW);
    h.reference = take(base, used, TILE);
    return h;
}

size_t KERNEL(attention_scratch_bytes)(int64_t Tq, int64_t T, int64_t D, bool backward)
{
    int64_t used;
    if (backward) return KERNEL(attention_backward_scratch_bytes)(Tq, T, D);
    head_layout(Tq, T, D, NULL, &used);
    return (size_t)used * sizeof(word);
}

static void set_bias(const head *h, float last_multiplicity)
{
    const int64_t last = h->key.count - 1 - (h->key.steps - 1) * STEP;
    for (int64_t t = 0; t < STEP; t++) h->bias[t] = t < last ? 0.0f : -INFINITY;
    h->bias[last] = logf(last_multiplicity) / LOG_2;
}

/* Of a block and a step of the keys. */
static tile_factors scores_factors(const head *h, int64_t block, int64_t step)
{
    const int64_t depth = h->channel.steps;
    return factors_of(h->q + block * depth * LEFT, false, h->k_turned + step * depth * RIGHT,
                      2 * step + 1 == h->key.tiles, depth);
}

static float *scores_at(const head *h, int64_t step)
{
    return h->scores + step * TILE * STEP;
}

/* Lane i: the largest score of row i, as a logarithm. */
static vf largest_scores(const head *h, int64_t rows)
{
    const int64_t last = h->key.steps - 1;
    vf row[TILE];
    for (int64_t i = 0; i < TILE; i++) row[i] = vf_set(-INFINITY);
    for (int64_t i = 0; i < rows; i++) {
        vf most = row[i], most_odd = row[i];
        const float *p = h->scores + i * STEP;
        for (int64_t s = 0; s < last; s++, p += TILE * STEP) {
            most = vf_max(most, vf_load(p));
            most_odd = vf_max(most_odd, vf_load(p + VW));
        }
        row[i] = vf_max(vf_max(most, most_odd) * h->scale, vf_load(p) * h->scale + vf_load(h->bias));
        if (2 * h->key.steps == h->key.tiles)
            row[i] = vf_max(row[i], vf_load(p + VW) * h->scale + vf_load(h->bias + VW));
    }
    return rows_largest(row);
}

/* Scores of a step become weights. */
static void weigh(const head *h, int64_t step, int64_t rows)
{
    const float *p = scores_at(h, step);
    word *weights = h->weights + step * LEFT;
    for (int64_t i = 0; i < rows; i++, p += STEP, weights += TILE) {
        const float reference = h->reference[i];
        const vf first = power_of_2(vf_load(p) * h->scale - reference),
                 second = power_of_2(vf_load(p + VW) * h->scale - reference);
        h->sums[i] += first + second;
        words_store(weights, line_of(first, second));
    }
}

/* The last step's, where keys may be missing and one may stand for several. */
static void weigh_last(const head *h, int64_t rows)
{
    const float *p = scores_at(h, h->key.steps - 1);
    word *weights = h->weights + (h->key.steps - 1) * LEFT;
    const vf bias = vf_load(h->bias), bias_second = vf_load(h->bias + VW);
    const bool has_second = 2 * h->key.steps == h->key.tiles;
    for (int64_t i = 0; i < rows; i++, p += STEP, weights += TILE) {
        const float reference = h->reference[i];
        const vf first = power_of_2(vf_load(p) * h->scale + (bias - reference));
        vf second = {0};
        if (has_second) second = power_of_2(vf_load(p + VW) * h->scale + (bias_second - reference));
        h->sums[i] += first + second;
        words_store(weights, line_of(first, second));
    }
}

/* All weights of a block of so many rows; meanwhile the next block's scores, if it has one. */
static void weigh_block(const head *h, int64_t block, int64_t rows)
{
    const bool has_next = block + 1 < h->query.tiles;
    const int64_t last = h->key.steps - 1;
    for (int64_t i = 0; i < TILE; i++) h->sums[i] = (vf){0};
    for (int64_t s = 0; s <= last; s++) {
        tile_factors next;
        if (has_next && s > 0) {
            next = scores_factors(h, block + 1, s - 1);
            multiply(&next, h->channel.steps);
        }
        if (s < last)
            weigh(h, s, rows);
        else
            weigh_last(h, rows);
        if (has_next && s > 0) tiles_store(&next, scores_at(h, s - 1), STEP);
    }
    if (!has_next) return;
    const tile_factors next = scores_factors(h, block + 1, last);
    multiply(&next, h->channel.steps);
    tiles_store(&next, scores_at(h, last), STEP);
}

/* A panel's channels of so many rows, each times its inverse. */
static void put_rows(const head *h, int64_t panel, int64_t rows, const float *inverse, act *out, int64_t C)
{
    const __mmask32 mask = present(&h->channel, panel);
    const float *x = h->out;
    for (int64_t i = 0; i < rows; i++, x += SIDE, out += C)
        line_store(out + panel * SIDE, mask, line_of(vf_load(x) * inverse[i], vf_load(x + VW) * inverse[i]));
}

static int64_t rows_of(const head *h, int64_t block)
{
    const int64_t left = h->query.count - block * TILE;
    return left < TILE ? left : TILE;
}

static void set_reference(const head *h, vf largest)
{
    vf_store(h->reference, largest - 0.5f); /* see power_of_2() */
}

/* Output of a block, from its weights. The next block's reference comes in between, too. */
static void finish_block(const head *h, int64_t block, act *out, int64_t C, float *log_sum)
{
    const int64_t rows = rows_of(h, block), steps = h->key.steps;
    const bool has_next = block + 1 < h->query.tiles;
    vf sum[TILE];
    float inverse[TILE];
    for (int64_t i = 0; i < TILE; i++) sum[i] = h->sums[i];
    const vf total = rows_total(sum);
    vf_store(inverse, 1.0f / total);
    if (log_sum)
        _mm512_mask_storeu_ps(log_sum + block * TILE, (__mmask16)((1u << rows) - 1),
                              (__m512)((vf_load(h->reference) + 0.5f) * LOG_2 + log_of(total)));
    for (int64_t panel = 0; panel < h->channel.steps; panel++) {
        const tile_factors factors = factors_of(h->weights, false, h->v_pairs + panel * steps * RIGHT,
                                                2 * panel + 1 == h->channel.tiles, steps);
        multiply(&factors, steps);
        if (panel == 0 && has_next) set_reference(h, largest_scores(h, rows_of(h, block + 1)));
        tiles_store(&factors, h->out, SIDE);
        put_rows(h, panel, rows, inverse, out + block * TILE * C, C);
    }
}

static void pack(const head *h, const fsfm_attention_args *args, int64_t image, int64_t channel)
{
    const int64_t key = image * args->T * args->kv_stride + channel;
    set_bias(h, args->last_multiplicity);
    pack_rows(&h->query, &h->channel, (const act *)args->q + image * args->Tq * args->q_stride + channel,
              args->q_stride, h->q);
    pack_rows(&h->key, &h->channel, (const act *)args->k + key, args->kv_stride, h->rows);
    turn_rows(&h->key, &h->channel, h->rows, h->k_turned);
    pack_rows(&h->key, &h->channel, (const act *)args->v + key, args->kv_stride, h->rows);
    pair_rows(&h->key, &h->channel, h->rows, h->v_pairs);
}

void KERNEL(attention)(const fsfm_attention_args *args, const fsfm_cpu_head *at, void *scratch)
{
    int64_t used;
    const head h = head_layout(args->Tq, args->T, args->D, scratch, &used);
    const int64_t C = args->H * args->D, channel = at->head * args->D;
    act *out = (act *)args->out + at->image * args->Tq * C + channel;
    float *log_sum = args->log_sum ? args->log_sum + (at->image * args->H + at->head) * args->Tq : NULL;
    pack(&h, args, at->image, channel);
    tiles_begin();
    for (int64_t s = 0; s < h.key.steps; s++) {
        const tile_factors factors = scores_factors(&h, 0, s);
        multiply(&factors, h.channel.steps);
        tiles_store(&factors, scores_at(&h, s), STEP);
    }
    set_reference(&h, largest_scores(&h, rows_of(&h, 0)));
    for (int64_t block = 0; block < h.query.tiles; block++) {
        weigh_block(&h, block, rows_of(&h, block));
        finish_block(&h, block, out, C, log_sum);
    }
    tiles_end();
}
