/* SPDX-License-Identifier: Apache-2.0
 * tests/support/reference_ops.h - every operation of core/device/device.h in double, by its definition: slow,
 * short.
 *
 * Arguments have the names and shapes of device.h. Gradients are added to their outputs: zero them for "set".
 */
#ifndef FSFM_TESTS_SUPPORT_REFERENCE_OPS_H
#define FSFM_TESTS_SUPPORT_REFERENCE_OPS_H

#include <stdbool.h>
#include <stdint.h>

void ref_linear(int64_t N, int64_t Cin, int64_t Cout, const double *x, const double *weight,
                const double *bias, const double *residual, double *out);
void ref_linear_backward(int64_t N, int64_t Cin, int64_t Cout, const double *x, const double *weight,
                         const double *dout, double *dx, double *dweight, double *dbias);
void ref_layernorm(int64_t N, int64_t C, double eps, bool relu, const double *x, const double *weight,
                   const double *bias, double *out, double *mean, double *rstd);
/* out decides where the relu is open; NULL: no relu. */
void ref_layernorm_backward(int64_t N, int64_t C, double eps, const double *x, const double *out,
                            const double *weight, const double *dout, double *dx, double *dweight,
                            double *dbias);
void ref_gelu(int64_t count, const double *x, double *out);
void ref_gelu_backward(int64_t count, const double *x, const double *dout, double *dx);
/* What attention's arguments have in common, and its arrays, rows of h->q_stride and h->kv_stride apart. */
typedef struct {
    int64_t B, Tq, T, H, D;
    double last_multiplicity;
    int64_t q_stride, kv_stride;
} ref_heads;
typedef struct {
    double *q, *k, *v;
} ref_qkv;
/* log_sum and squares may be NULL. squares, shaped as out, get for every entry the squares of the terms that
 * it is the sum of, added: it moves by the root of them, times how far each is off, where the weights are
 * rounded. */
void ref_attention(const ref_heads *h, const ref_qkv *x, double *out, double *log_sum, double *squares);
/* Here p and ds are rounded, and out, which is in every ds. */
void ref_attention_backward(const ref_heads *h, const ref_qkv *x, const double *dout, const ref_qkv *gradient,
                            const ref_qkv *squares);
/* Pixels as normalised values (B, size, size, 3). */
void ref_pixels(int64_t B, int64_t size, const uint8_t *u8, const float mean[3], const float std[3],
                double *pixels);
void ref_patches(int64_t B, int64_t K, int64_t size, int64_t patch, const double *pixels,
                 const int32_t *index, double *out);
void ref_embed(int64_t B, int64_t K, int64_t C, const double *patches, const double *class_token,
               const double *position, const int32_t *index, double *out);
void ref_embed_backward(int64_t B, int64_t K, int64_t C, const double *dout, double *dpatches,
                        double *dclass);
void ref_unshuffle(int64_t B, int64_t K, int64_t L, int64_t C, const double *x, const double *fill,
                   bool fill_by_place, const double *position, const int32_t *slot, double *out);
void ref_unshuffle_backward(int64_t B, int64_t K, int64_t L, int64_t C, const double *dout,
                            const int32_t *slot, double *dx, double *dfill, bool fill_by_place);
void ref_pick(int64_t B, int64_t T, int64_t R, int64_t C, const double *x, const int32_t *index, double *out);
void ref_pick_backward(int64_t B, int64_t T, int64_t R, int64_t C, const double *x, const int32_t *index,
                       double *y);
void ref_mean(int64_t B, int64_t T, int64_t C, double last_multiplicity, const double *x, double *out);
void ref_mean_backward(int64_t B, int64_t T, int64_t C, double last_multiplicity, const double *dout,
                       double *dx);
void ref_normalize(int64_t N, int64_t C, const double *x, double *out, double *norm);
void ref_normalize_backward(int64_t N, int64_t C, const double *x, const double *dout, double *dx);
double ref_dot_loss(int64_t N, int64_t C, double offset, double slope, const double *q, const double *k);
/* Returns the sum; dq where not NULL gets the gradient of dscale times the sum. */
double ref_infonce(int64_t N, int64_t M, int64_t C, int64_t first, double temperature, double dscale,
                   const double *q, const double *keys, double *dq);
/* patch_of (B, R): device.h's patch. Sets sums[2]; dpred where not NULL gets the gradient of dmask sums[0] +
 * dregion sums[1]. */
void ref_patch_loss(int64_t B, int64_t R, int64_t size, int64_t patch, const double *pixels, bool norm_pix,
                    const double *pred, const int32_t *patch_of, const uint8_t *mask, const uint8_t *region,
                    double dmask, double dregion, double sums[2], double *dpred);
#endif
