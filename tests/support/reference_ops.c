/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/reference_ops.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static double dot(const double *x, const double *y, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) sum += x[i] * y[i];
    return sum;
}

void ref_linear(int64_t N, int64_t Cin, int64_t Cout, const double *x, const double *weight,
                const double *bias, const double *residual, double *out)
{
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < Cout; o++) {
            const double kept = residual ? residual[n * Cout + o] : 0.0;
            out[n * Cout + o] = dot(x + n * Cin, weight + o * Cin, Cin) + (bias ? bias[o] : 0.0) + kept;
        }
}

void ref_linear_backward(int64_t N, int64_t Cin, int64_t Cout, const double *x, const double *weight,
                         const double *dout, double *dx, double *dweight, double *dbias)
{
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < Cout; o++) {
            const double d = dout[n * Cout + o];
            for (int64_t i = 0; i < Cin; i++) {
                if (dx) dx[n * Cin + i] += d * weight[o * Cin + i];
                if (dweight) dweight[o * Cin + i] += d * x[n * Cin + i];
            }
            if (dbias) dbias[o] += d;
        }
}

static void row_statistics(int64_t C, double eps, const double *x, double *mean, double *rstd)
{
    double sum = 0.0, squares = 0.0;
    for (int64_t c = 0; c < C; c++) sum += x[c];
    *mean = sum / (double)C;
    for (int64_t c = 0; c < C; c++) squares += (x[c] - *mean) * (x[c] - *mean);
    *rstd = 1.0 / sqrt(squares / (double)C + eps);
}

void ref_layernorm(int64_t N, int64_t C, double eps, bool relu, const double *x, const double *weight,
                   const double *bias, double *out, double *mean, double *rstd)
{
    for (int64_t n = 0; n < N; n++, x += C, out += C) {
        double m, r;
        row_statistics(C, eps, x, &m, &r);
        for (int64_t c = 0; c < C; c++) {
            out[c] = (x[c] - m) * r * weight[c] + bias[c];
            if (relu && out[c] < 0.0) out[c] = 0.0;
        }
        if (mean) mean[n] = m;
        if (rstd) rstd[n] = r;
    }
}

void ref_layernorm_backward(int64_t N, int64_t C, double eps, const double *x, const double *out,
                            const double *weight, const double *dout, double *dx, double *dweight,
                            double *dbias)
{
    for (int64_t n = 0; n < N; n++, x += C, dout += C, dx += C) {
        double m, r, mean_g = 0.0, mean_gx = 0.0;
        row_statistics(C, eps, x, &m, &r);
        for (int pass = 0; pass < 2; pass++)
            for (int64_t c = 0; c < C; c++) {
                const double d = !out || out[n * C + c] > 0.0 ? dout[c] : 0.0, xhat = (x[c] - m) * r;
                const double g = d * weight[c];
                if (pass == 0) {
                    mean_g += g / (double)C;
                    mean_gx += g * xhat / (double)C;
                    dweight[c] += d * xhat;
                    dbias[c] += d;
                } else {
                    dx[c] += r * (g - mean_g - xhat * mean_gx);
                }
            }
    }
}

static double normal_share(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

void ref_gelu(int64_t count, const double *x, double *out)
{
    for (int64_t i = 0; i < count; i++) out[i] = x[i] * normal_share(x[i]);
}

void ref_gelu_backward(int64_t count, const double *x, const double *dout, double *dx)
{
    const double root_two_pi = sqrt(8.0 * atan(1.0));
    for (int64_t i = 0; i < count; i++)
        dx[i] += dout[i] * (normal_share(x[i]) + x[i] * exp(-0.5 * x[i] * x[i]) / root_two_pi);
}

/* Weights (T) of a query, and the logarithm of their denominator. */
static double attention_weights(const ref_heads *h, const double *q, const double *k, double *p)
{
    double largest = -INFINITY, sum = 0.0;
    for (int64_t j = 0; j < h->T; j++) {
        p[j] = dot(q, k + j * h->kv_stride, h->D) / sqrt((double)h->D);
        largest = fmax(largest, p[j]);
    }
    for (int64_t j = 0; j < h->T; j++)
        sum += p[j] = exp(p[j] - largest) * (j == h->T - 1 ? h->last_multiplicity : 1.0);
    for (int64_t j = 0; j < h->T; j++) p[j] /= sum;
    return largest + log(sum);
}

/* x at head head of image b. */
static ref_qkv head_of(const ref_heads *h, const ref_qkv *x, int64_t b, int64_t head)
{
    const int64_t query = b * h->Tq * h->q_stride + head * h->D, key = b * h->T * h->kv_stride + head * h->D;
    return (ref_qkv){x->q + query, x->k + key, x->v + key};
}

/* out (D) of query t is set; squares (D) as in ref_attention. */
static double attention_row(const ref_heads *h, const ref_qkv *x, int64_t t, double *p, double *out,
                            double *squares)
{
    const double log_sum = attention_weights(h, x->q + t * h->q_stride, x->k, p);
    for (int64_t d = 0; d < h->D; d++) {
        out[d] = 0.0;
        for (int64_t j = 0; j < h->T; j++) {
            const double term = p[j] * x->v[j * h->kv_stride + d];
            out[d] += term;
            if (squares) squares[d] += term * term;
        }
    }
    return log_sum;
}

void ref_attention(const ref_heads *h, const ref_qkv *x, double *out, double *log_sum, double *squares)
{
    for (int64_t b = 0; b < h->B; b++)
        for (int64_t head = 0; head < h->H; head++)
            for (int64_t t = 0; t < h->Tq; t++) {
                const int64_t at = ((b * h->Tq + t) * h->H + head) * h->D;
                const ref_qkv own = head_of(h, x, b, head);
                double p[h->T];
                const double total = attention_row(h, &own, t, p, out + at, squares ? squares + at : NULL);
                if (log_sum) log_sum[(b * h->H + head) * h->Tq + t] = total;
            }
}

/* The gradients of the row dout (D) of query t, added, and the squares of their terms. delta = dout out: its
 * square is that of what out's roundings, before and after its sum, make of it. */
static void attention_row_backward(const ref_heads *h, const ref_qkv *x, int64_t t, const double *dout,
                                   const ref_qkv *gradient, const ref_qkv *squares)
{
    const double scale = 1.0 / sqrt((double)h->D), *q = x->q + t * h->q_stride;
    double p[h->T], out[h->D], out_squares[h->D], mean_k[h->D], delta_square = 0.0;
    memset(out_squares, 0, sizeof out_squares);
    memset(mean_k, 0, sizeof mean_k);
    attention_row(h, x, t, p, out, out_squares);
    for (int64_t d = 0; d < h->D; d++) delta_square += dout[d] * dout[d] * (out[d] * out[d] + out_squares[d]);
    const double delta = dot(dout, out, h->D);
    for (int64_t j = 0; j < h->T; j++) {
        const int64_t at = j * h->kv_stride;
        const double ds = p[j] * (dot(dout, x->v + at, h->D) - delta) * scale;
        const double ds_square = ds * ds + p[j] * p[j] * delta_square * scale * scale;
        for (int64_t d = 0; d < h->D; d++) {
            const double k = x->k[at + d];
            gradient->q[t * h->q_stride + d] += ds * k;
            gradient->k[at + d] += ds * q[d];
            gradient->v[at + d] += p[j] * dout[d];
            mean_k[d] += p[j] * k * scale;
            squares->q[t * h->q_stride + d] += ds * ds * k * k;
            squares->k[at + d] += ds_square * q[d] * q[d];
            squares->v[at + d] += p[j] * p[j] * dout[d] * dout[d];
        }
    }
    for (int64_t d = 0; d < h->D; d++)
        squares->q[t * h->q_stride + d] += delta_square * mean_k[d] * mean_k[d];
}

void ref_attention_backward(const ref_heads *h, const ref_qkv *x, const double *dout, const ref_qkv *gradient,
                            const ref_qkv *squares)
{
    for (int64_t b = 0; b < h->B; b++)
        for (int64_t head = 0; head < h->H; head++) {
            const ref_qkv own = head_of(h, x, b, head), own_gradient = head_of(h, gradient, b, head),
                          own_squares = head_of(h, squares, b, head);
            for (int64_t t = 0; t < h->Tq; t++)
                attention_row_backward(h, &own, t, dout + ((b * h->Tq + t) * h->H + head) * h->D,
                                       &own_gradient, &own_squares);
        }
}

void ref_pixels(int64_t B, int64_t size, const uint8_t *u8, const float mean[3], const float std[3],
                double *pixels)
{
    for (int64_t i = 0; i < B * size * size * 3; i++)
        pixels[i] = (u8[i] / 255.0 - (double)mean[i % 3]) / (double)std[i % 3];
}

/* Where pixel (row, column) of patch l, channel channel, stands. */
static int64_t pixel_at(int64_t size, int64_t patch, int64_t b, int64_t l, int64_t row, int64_t column,
                        int64_t channel)
{
    const int64_t across = size / patch, y = l / across * patch + row, x = l % across * patch + column;
    return ((b * size + y) * size + x) * 3 + channel;
}

void ref_patches(int64_t B, int64_t K, int64_t size, int64_t patch, const double *pixels,
                 const int32_t *index, double *out)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t k = 0; k < K; k++)
            for (int64_t channel = 0; channel < 3; channel++)
                for (int64_t row = 0; row < patch; row++)
                    for (int64_t column = 0; column < patch; column++) {
                        const int64_t l = index ? index[b * K + k] : k;
                        *out++ = pixels[pixel_at(size, patch, b, l, row, column, channel)];
                    }
}

void ref_embed(int64_t B, int64_t K, int64_t C, const double *patches, const double *class_token,
               const double *position, const int32_t *index, double *out)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < 1 + K; t++)
            for (int64_t c = 0; c < C; c++) {
                const int64_t k = t - 1, l = t == 0 ? 0 : index ? index[b * K + k] : k;
                *out++ = t == 0 ? class_token[c] : patches[(b * K + k) * C + c] + position[l * C + c];
            }
}

void ref_embed_backward(int64_t B, int64_t K, int64_t C, const double *dout, double *dpatches, double *dclass)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < 1 + K; t++)
            for (int64_t c = 0; c < C; c++)
                *(t == 0 ? &dclass[c] : &dpatches[(b * K + t - 1) * C + c]) += *dout++;
}

/* The row of x at row t of out, or -1 for fill. */
static int64_t row_of(int64_t K, int64_t L, const int32_t *slot, int64_t b, int64_t t)
{
    if (t == 0) return 0;
    if (!slot) return t <= K ? t : -1;
    return slot[b * L + t - 1] < 0 ? -1 : 1 + slot[b * L + t - 1];
}

void ref_unshuffle(int64_t B, int64_t K, int64_t L, int64_t C, const double *x, const double *fill,
                   bool fill_by_place, const double *position, const int32_t *slot, double *out)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < 1 + L; t++)
            for (int64_t c = 0; c < C; c++) {
                const int64_t row = row_of(K, L, slot, b, t);
                const double *from = row >= 0        ? x + (b * (1 + K) + row) * C
                                     : fill_by_place ? fill + (t - 1) * C
                                                     : fill;
                *out++ = from[c] + (position && t > 0 ? position[(t - 1) * C + c] : 0.0);
            }
}

void ref_unshuffle_backward(int64_t B, int64_t K, int64_t L, int64_t C, const double *dout,
                            const int32_t *slot, double *dx, double *dfill, bool fill_by_place)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < 1 + L; t++)
            for (int64_t c = 0; c < C; c++, dout++) {
                const int64_t row = row_of(K, L, slot, b, t);
                if (row >= 0)
                    dx[(b * (1 + K) + row) * C + c] += *dout;
                else if (dfill)
                    dfill[(fill_by_place ? (t - 1) * C : 0) + c] += *dout;
            }
}

void ref_pick(int64_t B, int64_t T, int64_t R, int64_t C, const double *x, const int32_t *index, double *out)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t r = 0; r < R; r++)
            for (int64_t c = 0; c < C; c++) *out++ = x[(b * T + index[b * R + r]) * C + c];
}

void ref_pick_backward(int64_t B, int64_t T, int64_t R, int64_t C, const double *x, const int32_t *index,
                       double *y)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t r = 0; r < R; r++)
            for (int64_t c = 0; c < C; c++) y[(b * T + index[b * R + r]) * C + c] += *x++;
}

void ref_mean(int64_t B, int64_t T, int64_t C, double last_multiplicity, const double *x, double *out)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t c = 0; c < C; c++) {
            double sum = 0.0;
            for (int64_t t = 0; t < T; t++)
                sum += x[(b * T + t) * C + c] * (t == T - 1 ? last_multiplicity : 1.0);
            out[b * C + c] = sum / ((double)(T - 1) + last_multiplicity);
        }
}

void ref_mean_backward(int64_t B, int64_t T, int64_t C, double last_multiplicity, const double *dout,
                       double *dx)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t c = 0; c < C; c++)
                *dx++ += dout[b * C + c] * (t == T - 1 ? last_multiplicity : 1.0) /
                         ((double)(T - 1) + last_multiplicity);
}

void ref_normalize(int64_t N, int64_t C, const double *x, double *out, double *norm)
{
    for (int64_t n = 0; n < N; n++) {
        norm[n] = fmax(sqrt(dot(x + n * C, x + n * C, C)), 1e-12);
        for (int64_t c = 0; c < C; c++) out[n * C + c] = x[n * C + c] / norm[n];
    }
}

void ref_normalize_backward(int64_t N, int64_t C, const double *x, const double *dout, double *dx)
{
    for (int64_t n = 0; n < N; n++, x += C, dout += C) {
        const double norm = sqrt(dot(x, x, C)), along = dot(x, dout, C);
        for (int64_t c = 0; c < C; c++)
            *dx++ += norm > 1e-12 ? dout[c] / norm - x[c] * along / pow(norm, 3) : dout[c] / 1e-12;
    }
}

double ref_dot_loss(int64_t N, int64_t C, double offset, double slope, const double *q, const double *k)
{
    double sum = 0.0;
    for (int64_t n = 0; n < N; n++) sum += offset + slope * dot(q + n * C, k + n * C, C);
    return sum;
}

double ref_infonce(int64_t N, int64_t M, int64_t C, int64_t first, double temperature, double dscale,
                   const double *q, const double *keys, double *dq)
{
    double loss = 0.0;
    for (int64_t n = 0; n < N; n++) {
        double p[M], sum = 0.0;
        for (int64_t j = 0; j < M; j++) sum += p[j] = exp(dot(q + n * C, keys + j * C, C) / temperature);
        loss -= log(p[first + n] / sum);
        for (int64_t j = 0; dq && j < M; j++)
            for (int64_t c = 0; c < C; c++)
                dq[n * C + c] += dscale / temperature * (p[j] / sum - (j == first + n)) * keys[j * C + c];
    }
    return loss;
}

/* Target (P) of patch l, in the order (row, column, channel). */
static void patch_target(int64_t size, int64_t patch, const double *pixels, bool norm_pix, int64_t b,
                         int64_t l, double *target)
{
    const int64_t P = patch * patch * 3;
    double mean = 0.0, variance = 0.0;
    for (int64_t p = 0; p < P; p++) {
        target[p] = pixels[pixel_at(size, patch, b, l, p / 3 / patch, p / 3 % patch, p % 3)];
        mean += target[p] / (double)P;
    }
    for (int64_t p = 0; p < P; p++) variance += (target[p] - mean) * (target[p] - mean) / (double)(P - 1);
    for (int64_t p = 0; norm_pix && p < P; p++) target[p] = (target[p] - mean) / sqrt(variance + 1e-6);
}

void ref_patch_loss(int64_t B, int64_t R, int64_t size, int64_t patch, const double *pixels, bool norm_pix,
                    const double *pred, const int32_t *patch_of, const uint8_t *mask, const uint8_t *region,
                    double dmask, double dregion, double sums[2], double *dpred)
{
    const int64_t L = (size / patch) * (size / patch), P = patch * patch * 3;
    sums[0] = sums[1] = 0.0;
    for (int64_t row = 0; row < B * R; row++) {
        if (patch_of[row] < 0) continue;
        const int64_t b = row / R, l = patch_of[row];
        const double in_mask = mask[b * L + l], in_region = region[b * L + l];
        double target[P], error = 0.0;
        patch_target(size, patch, pixels, norm_pix, b, l, target);
        for (int64_t p = 0; p < P; p++) {
            const double off = pred[row * P + p] - target[p];
            error += off * off / (double)P;
            if (dpred) dpred[row * P + p] += (dmask * in_mask + dregion * in_region) * 2.0 * off / (double)P;
        }
        sums[0] += in_mask * error;
        sums[1] += in_region * error;
    }
}
