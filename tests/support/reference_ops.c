/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/reference_ops.h"

#include <math.h>
#include <stddef.h>

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

/* Weights (T) of query t, and the logarithm of their denominator. */
static double attention_weights(int64_t T, int64_t H, int64_t D, double multiplicity, const double *q,
                                const double *k, double *p)
{
    double largest = -INFINITY, sum = 0.0;
    for (int64_t j = 0; j < T; j++) {
        p[j] = dot(q, k + j * 3 * H * D, D) / sqrt((double)D);
        largest = fmax(largest, p[j]);
    }
    for (int64_t j = 0; j < T; j++) sum += p[j] = exp(p[j] - largest) * (j == T - 1 ? multiplicity : 1.0);
    for (int64_t j = 0; j < T; j++) p[j] /= sum;
    return largest + log(sum);
}

void ref_attention(int64_t B, int64_t T, int64_t H, int64_t D, double last_multiplicity, const double *qkv,
                   double *out, double *log_sum)
{
    const int64_t C = H * D;
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t t = 0; t < T; t++) {
                const double *q = qkv + b * T * 3 * C + h * D;
                double p[T], *o = out + (b * T + t) * C + h * D;
                const double total = attention_weights(T, H, D, last_multiplicity, q + t * 3 * C, q + C, p);
                if (log_sum) log_sum[(b * H + h) * T + t] = total;
                for (int64_t d = 0; d < D; d++) {
                    o[d] = 0.0;
                    for (int64_t j = 0; j < T; j++) o[d] += p[j] * q[2 * C + j * 3 * C + d];
                }
            }
}

void ref_attention_backward(int64_t B, int64_t T, int64_t H, int64_t D, double last_multiplicity,
                            const double *qkv, const double *dout, double *dqkv)
{
    const int64_t C = H * D;
    const double scale = 1.0 / sqrt((double)D);
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t t = 0; t < T; t++) {
                const double *q = qkv + b * T * 3 * C + h * D, *k = q + C, *v = q + 2 * C;
                const double *d = dout + (b * T + t) * C + h * D;
                double *dq = dqkv + b * T * 3 * C + h * D, *dk = dq + C, *dv = dq + 2 * C, p[T], mean = 0.0;
                attention_weights(T, H, D, last_multiplicity, q + t * 3 * C, k, p);
                for (int64_t j = 0; j < T; j++) mean += p[j] * dot(d, v + j * 3 * C, D);
                for (int64_t j = 0; j < T; j++) {
                    const double ds = p[j] * (dot(d, v + j * 3 * C, D) - mean) * scale;
                    for (int64_t i = 0; i < D; i++) {
                        dq[t * 3 * C + i] += ds * k[j * 3 * C + i];
                        dk[j * 3 * C + i] += ds * q[t * 3 * C + i];
                        dv[j * 3 * C + i] += p[j] * d[i];
                    }
                }
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
                   const double *position, const int32_t *slot, double *out)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < 1 + L; t++)
            for (int64_t c = 0; c < C; c++) {
                const int64_t row = row_of(K, L, slot, b, t);
                const double value = row < 0 ? fill[c] : x[(b * (1 + K) + row) * C + c];
                *out++ = value + (position && t > 0 ? position[(t - 1) * C + c] : 0.0);
            }
}

void ref_unshuffle_backward(int64_t B, int64_t K, int64_t L, int64_t C, const double *dout,
                            const int32_t *slot, double *dx, double *dfill)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < 1 + L; t++)
            for (int64_t c = 0; c < C; c++, dout++) {
                const int64_t row = row_of(K, L, slot, b, t);
                if (row >= 0)
                    dx[(b * (1 + K) + row) * C + c] += *dout;
                else if (dfill)
                    dfill[c] += *dout;
            }
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

void ref_patch_loss(int64_t B, int64_t size, int64_t patch, const double *pixels, bool norm_pix,
                    const double *pred, const uint8_t *mask, const uint8_t *region, double dmask,
                    double dregion, double sums[2], double *dpred)
{
    const int64_t L = (size / patch) * (size / patch), P = patch * patch * 3;
    sums[0] = sums[1] = 0.0;
    for (int64_t b = 0; b < B; b++)
        for (int64_t l = 0; l < L; l++) {
            const int64_t at = (b * (1 + L) + 1 + l) * P;
            const double in_mask = mask[b * L + l], in_region = region[b * L + l];
            double target[P], error = 0.0;
            patch_target(size, patch, pixels, norm_pix, b, l, target);
            for (int64_t p = 0; p < P; p++) {
                const double off = pred[at + p] - target[p];
                error += off * off / (double)P;
                if (dpred) dpred[at + p] += (dmask * in_mask + dregion * in_region) * 2.0 * off / (double)P;
            }
            sums[0] += in_mask * error;
            sums[1] += in_region * error;
        }
}
