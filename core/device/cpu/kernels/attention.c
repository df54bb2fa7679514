/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/attention.c - one head of one image, with its scores in cache.
 *
 * q, k, v of the head are packed first: rows of Dp floats (D, padded with zeros to whole vectors), or
 * transposed, rows of Tp floats. Queries then go by blocks of BLOCK rows: scores, softmax and what follows
 * from them, so that the scores of a block stay in the near caches. A bias row holds 0,
 * log(last_multiplicity) at the last key and -inf in the padding. */
#include "core/device/cpu/kernels/table.h"

enum { BLOCK = 48 };

typedef struct {
    int64_t T, D, Tp, Dp;
    float scale;
    float *bias;             /* (Tp) */
    float *q, *k, *v, *dout; /* (T, Dp); q is scaled */
    float *k_t, *v_t;        /* (D, Tp) */
    float *p, *ds;           /* (BLOCK, Tp) */
    float *o;                /* (BLOCK, Dp) */
    float *dk, *dv;          /* (T, Dp) */
} head;

static int64_t padded(int64_t count)
{
    return (count + VW - 1) / VW * VW;
}

/* Hands out the next count floats of scratch, or only counts them where base is NULL. */
static float *take(float *base, int64_t *used, int64_t count)
{
    float *at = base ? base + *used : NULL;
    *used += (count + 15) / 16 * 16;
    return at;
}

static head head_layout(int64_t T, int64_t D, bool backward, float *base, int64_t *used)
{
    head h = {.T = T, .D = D, .Tp = padded(T), .Dp = padded(D), .scale = 1.0f / sqrtf((float)D)};
    *used = 0;
    h.bias = take(base, used, h.Tp);
    h.q = take(base, used, T * h.Dp);
    h.k_t = take(base, used, D * h.Tp);
    h.p = take(base, used, BLOCK * h.Tp);
    h.o = take(base, used, BLOCK * h.Dp);
    if (!backward) {
        h.v = take(base, used, T * h.Dp);
    } else {
        h.k = take(base, used, T * h.Dp);
        h.dout = take(base, used, T * h.Dp);
        h.v_t = take(base, used, D * h.Tp);
        h.ds = take(base, used, BLOCK * h.Tp);
        h.dk = take(base, used, T * h.Dp);
        h.dv = take(base, used, T * h.Dp);
    }
    return h;
}

size_t KERNEL(attention_scratch_bytes)(int64_t T, int64_t D, bool backward)
{
    int64_t used;
    head_layout(T, D, backward, NULL, &used);
    return (size_t)used * sizeof(float);
}

static void set_bias(const head *h, float last_multiplicity)
{
    for (int64_t t = 0; t < h->Tp; t++) h->bias[t] = t < h->T ? 0.0f : -INFINITY;
    h->bias[h->T - 1] = logf(last_multiplicity);
}

/* out (T, Dp) = scale x, from rows of stride. */
static void pack_rows(const head *h, const float *x, int64_t stride, float scale, float *out)
{
    for (int64_t t = 0; t < h->T; t++, x += stride, out += h->Dp) {
        for (int64_t d = 0; d < h->D; d++) out[d] = scale * x[d];
        for (int64_t d = h->D; d < h->Dp; d++) out[d] = 0.0f;
    }
}

/* Four rows of four floats transposed. */
ALWAYS_INLINE void transpose_4x4(const float *x, int64_t stride, float *out, int64_t out_stride)
{
    const v4 a = *(const v4_unaligned *)x, b = *(const v4_unaligned *)(x + stride);
    const v4 c = *(const v4_unaligned *)(x + 2 * stride), d = *(const v4_unaligned *)(x + 3 * stride);
    const v4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
             ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const v4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
             cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(v4_unaligned *)out = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *(v4_unaligned *)(out + out_stride) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *(v4_unaligned *)(out + 2 * out_stride) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(v4_unaligned *)(out + 3 * out_stride) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

/* out (D, Tp) = x (T, D) transposed, from rows of stride. */
static void pack_transposed(const head *h, const float *x, int64_t stride, float *out)
{
    const int64_t T = h->T / 4 * 4, D = h->D / 4 * 4;
    for (int64_t d = 0; d < h->D; d++)
        for (int64_t t = h->T; t < h->Tp; t++) out[d * h->Tp + t] = 0.0f;
    for (int64_t t = 0; t < T; t += 4)
        for (int64_t d = 0; d < D; d += 4)
            transpose_4x4(x + t * stride + d, stride, out + d * h->Tp + t, h->Tp);
    for (int64_t t = 0; t < h->T; t++)
        for (int64_t d = t < T ? D : 0; d < h->D; d++) out[d * h->Tp + t] = x[t * stride + d];
}

/* Row by row p = exp(p + bias - largest); sum gets the total. Returns the largest. */
static float softmax_row(const head *h, float *p, float *sum)
{
    vf most = vf_set(-INFINITY), total = {0};
    for (int64_t t = 0; t < h->Tp; t += VW) most = vf_max(most, vf_load(p + t) + vf_load(h->bias + t));
    const float largest = vf_largest(most);
    for (int64_t t = 0; t < h->Tp; t += VW) {
        const vf e = vf_exp(vf_load(p + t) + vf_load(h->bias + t) - largest);
        vf_store(p + t, e);
        total += e;
    }
    *sum = vf_total(total);
    return largest;
}

void KERNEL(attention)(const fsfm_attention_args *args, int64_t image, int64_t head_index, void *scratch)
{
    int64_t used;
    const head h = head_layout(args->T, args->D, false, scratch, &used);
    const int64_t C = args->H * args->D, stride = 3 * C;
    const float *qkv = (const float *)args->qkv + image * args->T * stride + head_index * h.D;
    float *out = (float *)args->out + image * args->T * C + head_index * h.D;
    float *log_sum = args->log_sum ? args->log_sum + (image * args->H + head_index) * args->T : NULL;
    set_bias(&h, args->last_multiplicity);
    pack_rows(&h, qkv, stride, h.scale, h.q);
    pack_transposed(&h, qkv + C, stride, h.k_t);
    pack_rows(&h, qkv + 2 * C, stride, 1.0f, h.v);
    for (int64_t first = 0; first < h.T; first += BLOCK) {
        const int64_t rows = h.T - first < BLOCK ? h.T - first : BLOCK;
        float inverse[BLOCK];
        KERNEL(multiply)(rows, h.Tp, h.D, h.q + first * h.Dp, h.Dp, 1, h.k_t, h.Tp, h.p, h.Tp, false);
        for (int64_t i = 0; i < rows; i++) {
            float sum;
            const float largest = softmax_row(&h, h.p + i * h.Tp, &sum);
            inverse[i] = 1.0f / sum;
            if (log_sum) log_sum[first + i] = largest + logf(sum);
        }
        KERNEL(multiply)(rows, h.Dp, h.T, h.p, h.Tp, 1, h.v, h.Dp, h.o, h.Dp, false);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t d = 0; d < h.D; d++) out[(first + i) * C + d] = h.o[i * h.Dp + d] * inverse[i];
    }
}

/* p = softmax of the scores in p; ds = p (dp - delta), with dp in ds and delta = dout . out of the row. */
static void softmax_backward_row(const head *h, float *p, float *ds, float log_sum, float delta)
{
    for (int64_t t = 0; t < h->Tp; t += VW) {
        const vf e = vf_exp(vf_load(p + t) + vf_load(h->bias + t) - log_sum);
        vf_store(p + t, e);
        vf_store(ds + t, e * (vf_load(ds + t) - delta));
    }
}

static float dot_row(const float *x, const float *y, int64_t D)
{
    vf sum = {0};
    int64_t d = 0;
    for (; d + VW <= D; d += VW) sum += vf_load(x + d) * vf_load(y + d);
    float total = vf_total(sum);
    for (; d < D; d++) total += x[d] * y[d];
    return total;
}

void KERNEL(attention_backward)(const fsfm_attention_backward_args *args, int64_t image, int64_t head_index,
                                void *scratch)
{
    int64_t used;
    const head h = head_layout(args->T, args->D, true, scratch, &used);
    const int64_t C = args->H * args->D, stride = 3 * C, at = image * args->T * C + head_index * h.D;
    const float *qkv = (const float *)args->qkv + image * args->T * stride + head_index * h.D;
    float *dqkv = (float *)args->dqkv + image * args->T * stride + head_index * h.D;
    const float *out = (const float *)args->out + at, *dout = (const float *)args->dout + at;
    const float *log_sum = args->log_sum + (image * args->H + head_index) * args->T;
    set_bias(&h, args->last_multiplicity);
    pack_rows(&h, qkv, stride, h.scale, h.q);
    pack_rows(&h, qkv + C, stride, 1.0f, h.k);
    pack_rows(&h, dout, C, 1.0f, h.dout);
    pack_transposed(&h, qkv + C, stride, h.k_t);
    pack_transposed(&h, qkv + 2 * C, stride, h.v_t);
    for (int64_t first = 0; first < h.T; first += BLOCK) {
        const int64_t rows = h.T - first < BLOCK ? h.T - first : BLOCK;
        const float *q = h.q + first * h.Dp, *dout_block = h.dout + first * h.Dp;
        KERNEL(multiply)(rows, h.Tp, h.D, q, h.Dp, 1, h.k_t, h.Tp, h.p, h.Tp, false);
        KERNEL(multiply)(rows, h.Tp, h.D, dout_block, h.Dp, 1, h.v_t, h.Tp, h.ds, h.Tp, false);
        for (int64_t i = 0; i < rows; i++) {
            const float delta = dot_row(dout + (first + i) * C, out + (first + i) * C, h.D);
            softmax_backward_row(&h, h.p + i * h.Tp, h.ds + i * h.Tp, log_sum[first + i], delta);
        }
        KERNEL(multiply)(rows, h.Dp, h.T, h.ds, h.Tp, 1, h.k, h.Dp, h.o, h.Dp, false);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t d = 0; d < h.D; d++) dqkv[(first + i) * stride + d] = h.o[i * h.Dp + d] * h.scale;
        KERNEL(multiply)(h.T, h.Dp, rows, h.ds, 1, h.Tp, q, h.Dp, h.dk, h.Dp, first > 0);
        KERNEL(multiply)(h.T, h.Dp, rows, h.p, 1, h.Tp, dout_block, h.Dp, h.dv, h.Dp, first > 0);
    }
    for (int64_t t = 0; t < h.T; t++) {
        memcpy(dqkv + t * stride + C, h.dk + t * h.Dp, (size_t)h.D * sizeof(float));
        memcpy(dqkv + t * stride + 2 * C, h.dv + t * h.Dp, (size_t)h.D * sizeof(float));
    }
}
