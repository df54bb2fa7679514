/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu.c - x Phi(x) and its derivative.
 *
 * Phi(-u) = exp(-u^2 / 2) G(u) for u >= 0, with G a smooth falling function: a polynomial in t = 1 / (1 +
 * 0.35 u) without constant term, fitted here (minimax in relative error, 3e-8 for u up to 14, where Phi
 * leaves the floats). Phi(u) = 1 - Phi(-u). One exp serves Phi and the density. */
#include "core/device/cpu/kernels/act.h"
#include "core/device/cpu/kernels/table.h"

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

void KERNEL(gelu)(int64_t rows, int64_t columns, int64_t stride, const fsfm_act *x, fsfm_act *out)
{
    const act *from = x;
    act *to = out;
    for (int64_t n = 0; n < rows; n++, from += stride, to += stride)
        for (int64_t c = 0; c < columns; c += VW) {
            vf density;
            const vf value = act_load_at(from, c, columns);
            act_store_at(to, value * normal(value, &density), c, columns);
        }
}

void KERNEL(gelu_backward)(int64_t rows, int64_t columns, int64_t stride, const fsfm_act *x, fsfm_act *dx,
                           fsfm_act *active)
{
    const act *from = x;
    act *gradient = dx, *again = active;
    for (int64_t n = 0; n < rows; n++, from += stride, gradient += stride) {
        for (int64_t c = 0; c < columns; c += VW) {
            vf density;
            const vf value = act_load_at(from, c, columns), phi = normal(value, &density);
            const vf slope = phi + value * density;
            act_store_at(gradient, act_load_at(gradient, c, columns) * slope, c, columns);
            if (again) act_store_at(again, value * phi, c, columns);
        }
        if (again) again += stride;
    }
}
