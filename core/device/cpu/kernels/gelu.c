/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu.c - x Phi(x) and its derivative.
 *
 * Phi(-u) = exp(-u^2 / 2) G(u) for u >= 0, with G a smooth falling function: a polynomial in t = 1 / (1 +
 * 0.35 u) without constant term, fitted here (minimax in relative error, 3e-8 for u up to 14, where Phi
 * leaves the floats). Phi(u) = 1 - Phi(-u). One exp serves Phi and the density. */
#include "core/device/cpu/kernels/table.h"
#include "core/device/cpu/kernels/vector.h"

/* Phi(x); density: exp(-x^2 / 2) / sqrt(2 pi). */
ALWAYS_INLINE vf normal(vf x, vf *density)
{
    const vf bell = vf_exp(x * x * -0.5f);
    const vf t = 1.0f / (vf_max(x, -x) * 0.35f + 1.0f);
    vf tail = vf_set(-0.0291459275f);
    tail = tail * t + 0.143971684f;
    tail = tail * t - 0.255714225f;
    tail = tail * t + 0.159174127f;
    tail = tail * t - 0.0231098126f;
    tail = tail * t + 0.105507995f;
    tail = tail * t + 0.11983287f;
    tail = tail * t + 0.139861869f;
    tail = tail * t + 0.139621404f;
    tail = tail * t * bell;
    *density = bell * 0.398942280f;
    return vf_select((vi)(x < 0.0f), tail, 1.0f - tail);
}

ALWAYS_INLINE vf gelu_of(vf x)
{
    vf density;
    return x * normal(x, &density);
}

ALWAYS_INLINE vf gelu_slope(vf x)
{
    vf density;
    const vf phi = normal(x, &density);
    return phi + x * density;
}

void KERNEL(gelu)(int64_t count, const float *x, float *out)
{
    int64_t i = 0;
    for (; i + VW <= count; i += VW) vf_store(out + i, gelu_of(vf_load(x + i)));
    if (i < count) vf_store_part(out + i, gelu_of(vf_load_part(x + i, count - i)), count - i);
}

void KERNEL(gelu_backward)(int64_t count, const float *x, const float *dout, float *dx)
{
    int64_t i = 0;
    for (; i + VW <= count; i += VW) vf_store(dx + i, vf_load(dout + i) * gelu_slope(vf_load(x + i)));
    if (i == count) return;
    const vf slope = gelu_slope(vf_load_part(x + i, count - i));
    vf_store_part(dx + i, vf_load_part(dout + i, count - i) * slope, count - i);
}
