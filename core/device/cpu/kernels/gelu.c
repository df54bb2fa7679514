/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu.c - x Phi(x) and its derivative, Phi(x) + x phi(x).
 *
 * Phi(-u) = exp(-u^2 / 2) G(u) for u >= 0, with G a smooth falling function, given by a polynomial that was
 * fitted here, minimax in relative error. For floats it is one in t = 1 / (1 + 0.35 u) without constant term,
 * to 3e-8 for u up to 14, where Phi leaves the floats; for bfloat16 one in u, to 6e-5 for u up to 5.5, behind
 * which GELU is less than 2e-7. Phi(u) = 1 - Phi(-u). One exp serves Phi and the density. */
#include "core/device/cpu/kernels/act.h"
#include "core/device/cpu/kernels/table.h"

/* Phi(-|x|); bell: exp(-x^2 / 2). */
ALWAYS_INLINE vf normal_tail(vf x, vf *bell)
{
#if defined FSFM_BF16
    static const float G[] = {-8.430622529e-07f, 2.551947364e-05f, -3.389720223e-04f, 2.616683487e-03f,
                              -1.317038294e-02f, 4.633978382e-02f, -1.206805706e-01f, 2.448778301e-01f,
                              -3.980557323e-01f, 4.999724925e-01f};
    const vf t = vf_min(vf_set(5.5f), vf_abs(x));
    *bell = act_exp2(x * x * (-0.5f * LOG2E));
#else
    static const float G[] = {-0.0291459275f, 0.143971684f, -0.255714225f, 0.159174127f, -0.0231098126f,
                              0.105507995f,   0.11983287f,  0.139861869f,  0.139621404f, 0.0f};
    const vf t = 1.0f / (vf_abs(x) * 0.35f + 1.0f);
    *bell = vf_exp(x * x * -0.5f);
#endif
    vf ratio = vf_set(G[0]);
    UNROLL for (int i = 1; i < 10; i++) ratio = ratio * t + G[i];
    return ratio * *bell;
}

/* max(0, x) - |x| Phi(-|x|), which is x Phi(x) on either side of 0. */
ALWAYS_INLINE vf gelu_of(vf x, vf tail)
{
    return vf_max(vf_set(0.0f), x) - vf_abs(x) * tail;
}

/* Phi(x) + x phi(x). */
ALWAYS_INLINE vf gelu_slope(vf x, vf tail, vf bell)
{
    const vu sign = (vu)x >> 31;
    const vf step = (vf)((sign - 1) & (vu)vf_set(1.0f)), signed_tail = (vf)((vu)tail ^ sign << 31);
    return step - signed_tail + x * bell * 0.398942280f;
}

void KERNEL(gelu)(int64_t rows, int64_t columns, int64_t stride, const fsfm_act *x, fsfm_act *out)
{
    const act *from = x;
    act *to = out;
    for (int64_t n = 0; n < rows; n++, from += stride, to += stride)
        for (int64_t c = 0; c < columns; c += VW) {
            vf bell;
            const vf value = act_load_at(from, c, columns);
            act_store_at(to, gelu_of(value, normal_tail(value, &bell)), c, columns);
        }
}

void KERNEL(gelu_backward)(int64_t rows, int64_t columns, int64_t stride, const fsfm_act *x, fsfm_act *dx,
                           fsfm_act *active)
{
    const act *from = x;
    act *gradient = dx, *again = active;
    for (int64_t n = 0; n < rows; n++, from += stride, gradient += stride) {
        for (int64_t c = 0; c < columns; c += VW) {
            vf bell;
            const vf value = act_load_at(from, c, columns), tail = normal_tail(value, &bell);
            const vf slope = gelu_slope(value, tail, bell);
            act_store_at(gradient, act_load_at(gradient, c, columns) * slope, c, columns);
            if (again) act_store_at(again, gelu_of(value, tail), c, columns);
        }
        if (again) again += stride;
    }
}
