/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/vectors.c - loops over plain vectors: sums, optimizer. */
#include "core/device/cpu/kernels/table.h"

void KERNEL(sum)(int64_t count, const float *x, const float *y, float *out)
{
    int64_t i = 0;
    for (; i + VW <= count; i += VW) vf_store(out + i, vf_load(x + i) + vf_load(y + i));
    for (; i < count; i++) out[i] = x[i] + y[i];
}

void KERNEL(axpy)(int64_t count, float a, const float *x, float *y)
{
    int64_t i = 0;
    for (; i + VW <= count; i += VW) vf_store(y + i, vf_load(y + i) + a * vf_load(x + i));
    for (; i < count; i++) y[i] += a * x[i];
}

/* Four vectors of columns at a time go down a block of rows; blocks are summed before they join sums, which
 * keeps the rounding error of long columns small. */
void KERNEL(column_sums)(int64_t rows, int64_t C, int64_t stride, const float *x, float *sums)
{
    enum { BLOCK = 64 };
    for (int64_t first = 0; first < rows; first += BLOCK) {
        const int64_t last = first + BLOCK < rows ? first + BLOCK : rows;
        int64_t c = 0;
        for (; c + 4 * VW <= C; c += 4 * VW) {
            vf sum[4] = {{0}};
            for (int64_t n = first; n < last; n++)
                UNROLL for (int k = 0; k < 4; k++) sum[k] += vf_load(x + n * stride + c + k * VW);
            for (int k = 0; k < 4; k++) vf_store(sums + c + k * VW, vf_load(sums + c + k * VW) + sum[k]);
        }
        for (; c < C; c++) {
            float sum = 0.0f;
            for (int64_t n = first; n < last; n++) sum += x[n * stride + c];
            sums[c] += sum;
        }
    }
}

double KERNEL(dot)(int64_t count, const float *x, const float *y)
{
    vd sum[2] = {{0}};
    int64_t i = 0;
    for (; i + VW <= count; i += VW) UNROLL for (int k = 0; k < 2; k++)
        {
            const vhalf a = *(const vhalf *)(x + i + k * (VW / 2)),
                        b = *(const vhalf *)(y + i + k * (VW / 2));
            sum[k] += __builtin_convertvector(a, vd) * __builtin_convertvector(b, vd);
        }
    double total = vd_total(sum[0] + sum[1]);
    for (; i < count; i++) total += (double)x[i] * (double)y[i];
    return total;
}

void KERNEL(adamw)(const fsfm_adamw_args *args, int64_t first, int64_t count)
{
    float *restrict p = args->params + first, *restrict m = args->m + first, *restrict v = args->v + first;
    const float *restrict grads = args->grads + first;
    const float scale = (float)args->grad_scale, eps = (float)args->eps;
    const float keep1 = (float)(1.0 - args->beta1), beta2 = (float)args->beta2,
                keep2 = (float)(1.0 - args->beta2);
    const float shrink = (float)(1.0 - args->lr * args->decay), step = (float)(args->lr / args->correction1);
    const float root2 = (float)sqrt(args->correction2);
    for (int64_t i = 0; i < count; i++) {
        const float g = scale * grads[i];
        m[i] += keep1 * (g - m[i]);
        v[i] = beta2 * v[i] + keep2 * g * g;
        p[i] = shrink * p[i] - step * (m[i] / (sqrtf(v[i]) / root2 + eps));
    }
}

/* As a step towards online, so that equal weights stay equal whatever momentum rounds to. */
void KERNEL(ema)(int64_t count, double momentum, const float *online, float *target)
{
    const float step = (float)(1.0 - momentum);
    for (int64_t i = 0; i < count; i++)
        target[i] = step == 1.0f ? online[i] : target[i] + step * (online[i] - target[i]);
}
