/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/reference_step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

/* The network whose weights are read. */
typedef struct {
    const reference_batch *batch;
    const double *weights;
} network;

static const double *tensor(const network *net, const char *prefix, const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const int i = fsfm_parameters_find(net->batch->list, full);
    if (i < 0) fail_msg("no tensor %s", full);
    return net->weights + net->batch->list->items[i].offset;
}

static double *doubles(int64_t count)
{
    double *out = calloc((size_t)count, sizeof *out);
    assert_non_null(out);
    return out;
}

/* out (N, outs) = x (N, ins) W^T + b */
static double *linear(const network *net, const char *name, const double *x, int64_t N, int64_t ins,
                      int64_t outs)
{
    const double *w = tensor(net, name, ".weight"), *b = tensor(net, name, ".bias");
    double *out = doubles(N * outs);
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < outs; o++) {
            double sum = b[o];
            for (int64_t i = 0; i < ins; i++) sum += x[n * ins + i] * w[o * ins + i];
            out[n * outs + o] = sum;
        }
    return out;
}

static double *layer_norm(const network *net, const char *name, const double *x, int64_t N, int64_t C,
                          double eps)
{
    const double *w = tensor(net, name, ".weight"), *b = tensor(net, name, ".bias");
    double *out = doubles(N * C);
    for (int64_t n = 0; n < N; n++) {
        double mean = 0.0, variance = 0.0;
        for (int64_t c = 0; c < C; c++) mean += x[n * C + c] / (double)C;
        for (int64_t c = 0; c < C; c++) variance += (x[n * C + c] - mean) * (x[n * C + c] - mean) / (double)C;
        for (int64_t c = 0; c < C; c++)
            out[n * C + c] = (x[n * C + c] - mean) / sqrt(variance + eps) * w[c] + b[c];
    }
    return out;
}

/* One head of one image: out rows of width C at offset h D. */
static void attend(const double *qkv, int64_t T, int64_t C, int64_t D, int64_t h, double *out)
{
    double *p = doubles(T);
    for (int64_t q = 0; q < T; q++) {
        double sum = 0.0;
        for (int64_t k = 0; k < T; k++) {
            double score = 0.0;
            for (int64_t d = 0; d < D; d++)
                score += qkv[q * 3 * C + h * D + d] * qkv[k * 3 * C + C + h * D + d];
            sum += p[k] = exp(score / sqrt((double)D));
        }
        for (int64_t k = 0; k < T; k++)
            for (int64_t d = 0; d < D; d++)
                out[q * C + h * D + d] += p[k] / sum * qkv[k * 3 * C + 2 * C + h * D + d];
    }
    free(p);
}

static void add_to(double *x, double *branch, int64_t count)
{
    for (int64_t i = 0; i < count; i++) x[i] += branch[i];
    free(branch);
}

/* x (B, T, C), in place. */
static void block(const network *net, const char *name, double *x, int64_t B, int64_t T, int64_t C,
                  int64_t heads)
{
    const fsfm_model_options *o = net->batch->options;
    const int64_t N = B * T, F = (int64_t)((double)C * o->mlp_ratio);
    char part[6][96];
    const char *suffix[6] = {"norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"};
    for (int i = 0; i < 6; i++) snprintf(part[i], sizeof part[i], "%s.%s", name, suffix[i]);
    double *normed = layer_norm(net, part[0], x, N, C, o->ln_eps);
    double *qkv = linear(net, part[1], normed, N, C, 3 * C);
    double *attended = doubles(N * C);
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < heads; h++)
            attend(qkv + b * T * 3 * C, T, C, C / heads, h, attended + b * T * C);
    add_to(x, linear(net, part[2], attended, N, C, C), N * C);
    free(normed);
    normed = layer_norm(net, part[3], x, N, C, o->ln_eps);
    double *hidden = linear(net, part[4], normed, N, C, F);
    for (int64_t i = 0; i < N * F; i++) hidden[i] *= 0.5 * (1.0 + erf(hidden[i] / sqrt(2.0)));
    add_to(x, linear(net, part[5], hidden, N, F, C), N * C);
    free(normed);
    free(qkv);
    free(attended);
    free(hidden);
}

static void blocks(const network *net, const char *name, int64_t depth, double *x, int64_t B, int64_t T,
                   int64_t C, int64_t heads)
{
    char part[64];
    for (int i = 0; i < depth; i++) {
        snprintf(part, sizeof part, "%s.%d", name, i);
        block(net, part, x, B, T, C, heads);
    }
}

/* Entry c of the position row of patch l: [sin(x w), cos(x w), sin(y w), cos(y w)]. */
static double position(int64_t l, int64_t grid, int64_t C, int64_t c)
{
    const int64_t quarter = C / 4, k = c % quarter;
    const double w = pow(10000.0, -(double)k / (double)quarter);
    const double at = (double)(c < 2 * quarter ? l % grid : l / grid) * w;
    return c / quarter % 2 == 0 ? sin(at) : cos(at);
}

static int64_t grid_of(const network *net)
{
    return net->batch->options->img_size / net->batch->options->patch_size;
}

/* Pixel (channel, row, column) of patch l. */
static double pixel(const network *net, int64_t b, int64_t l, int64_t channel, int64_t row, int64_t column)
{
    const int64_t size = net->batch->options->img_size, p = net->batch->options->patch_size,
                  grid = grid_of(net);
    const int64_t y = l / grid * p + row, x = l % grid * p + column;
    return (double)net->batch->images[((b * size + y) * size + x) * 3 + channel];
}

/* Whether patch l of image b is removed; mask NULL: nothing is. */
static bool is_removed(const uint8_t *mask, int64_t b, int64_t l, int64_t L)
{
    return mask && mask[b * L + l];
}

static int64_t count_seen(const uint8_t *mask, int64_t L)
{
    int64_t seen = 0;
    for (int64_t l = 0; l < L; l++) seen += !is_removed(mask, 0, l, L);
    return seen;
}

static double *encode(const network *net, const uint8_t *mask)
{
    const fsfm_model_options *o = net->batch->options;
    const int64_t B = net->batch->B, grid = grid_of(net), L = grid * grid, C = o->embed_dim,
                  p = o->patch_size;
    const int64_t T = 1 + count_seen(mask, L);
    const double *w = tensor(net, "patch_embed.proj", ".weight"),
                 *bias = tensor(net, "patch_embed.proj", ".bias");
    const double *cls = tensor(net, "", "cls_token");
    double *x = doubles(B * T * C);
    for (int64_t b = 0; b < B; b++) {
        double *row = x + b * T * C;
        memcpy(row, cls, (size_t)C * sizeof *cls);
        for (int64_t l = 0; l < L; l++) {
            if (is_removed(mask, b, l, L)) continue;
            row += C;
            for (int64_t c = 0; c < C; c++) {
                row[c] = bias[c] + position(l, grid, C, c);
                for (int64_t i = 0; i < 3 * p * p; i++)
                    row[c] += w[c * 3 * p * p + i] * pixel(net, b, l, i / (p * p), i / p % p, i % p);
            }
        }
    }
    blocks(net, "blocks", o->depth, x, B, T, C, o->num_heads);
    double *latent = layer_norm(net, "norm", x, B * T, C, o->ln_eps);
    free(x);
    return latent;
}

/* (B, 1 + L, C): tokens in image order, the mask token in the gaps. */
static double *fill_gaps(const network *net, const uint8_t *mask, const double *x)
{
    const int64_t B = net->batch->B, L = grid_of(net) * grid_of(net), C = net->batch->options->embed_dim;
    const int64_t T = 1 + count_seen(mask, L);
    const double *token = tensor(net, "", "mask_token");
    double *out = doubles(B * (1 + L) * C);
    for (int64_t b = 0; b < B; b++) {
        const double *seen = x + b * T * C;
        memcpy(out + b * (1 + L) * C, seen, (size_t)C * sizeof *x);
        for (int64_t l = 0; l < L; l++) {
            const double *from = is_removed(mask, b, l, L) ? token : (seen += C);
            memcpy(out + (b * (1 + L) + 1 + l) * C, from, (size_t)C * sizeof *x);
        }
    }
    return out;
}

static void add_position(const network *net, double *x, int64_t C)
{
    const int64_t grid = grid_of(net), L = grid * grid;
    for (int64_t b = 0; b < net->batch->B; b++)
        for (int64_t l = 0; l < L; l++)
            for (int64_t c = 0; c < C; c++) x[(b * (1 + L) + 1 + l) * C + c] += position(l, grid, C, c);
}

static double *mean_tokens(const double *x, int64_t B, int64_t T, int64_t C)
{
    double *out = doubles(B * C);
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t c = 0; c < C; c++) out[b * C + c] += x[(b * T + t) * C + c] / (double)T;
    return out;
}

static double *head(const network *net, const char *name, const double *x, int64_t in)
{
    const fsfm_model_options *o = net->batch->options;
    char part[3][64];
    for (int i = 0; i < 3; i++)
        snprintf(part[i], sizeof part[i], "%s.projection_head.%d", name, i == 2 ? 3 : i);
    const int64_t B = net->batch->B, hidden = o->projection_hidden_size;
    double *first = linear(net, part[0], x, B, in, hidden);
    double *normed = layer_norm(net, part[1], first, B, hidden, 1e-5);
    for (int64_t i = 0; i < B * hidden; i++) normed[i] = fmax(normed[i], 0.0);
    double *out = linear(net, part[2], normed, B, hidden, o->projection_size);
    free(first);
    free(normed);
    return out;
}

static double *project(const network *net, const uint8_t *mask, const double *latent)
{
    const fsfm_model_options *o = net->batch->options;
    const int64_t B = net->batch->B, L = grid_of(net) * grid_of(net), C = o->embed_dim;
    double *mean;
    if (o->id_rep_decoder) {
        double *embedded = linear(net, "rep_decoder_embed", latent, B * (1 + count_seen(mask, L)), C, C);
        double *x = fill_gaps(net, mask, embedded);
        if (o->rep_pos == FSFM_REP_POS_SINCOS) add_position(net, x, C);
        blocks(net, "rep_decoder_blocks", o->rep_decoder_depth, x, B, 1 + L, C, o->rep_decoder_num_heads);
        double *normed = layer_norm(net, "rep_decoder_norm", x, B * (1 + L), C, o->ln_eps);
        double *back = linear(net, "rep_decoder_pred", normed, B * (1 + L), C, C);
        mean = mean_tokens(back, B, 1 + L, C);
        free(embedded);
        free(x);
        free(normed);
        free(back);
    } else {
        mean = mean_tokens(latent, B, 1 + count_seen(mask, L), C);
    }
    double *out = head(net, "projector", mean, C);
    free(mean);
    return out;
}

static void normalize(double *x, int64_t B, int64_t C)
{
    for (int64_t b = 0; b < B; b++) {
        double sum = 0.0;
        for (int64_t c = 0; c < C; c++) sum += x[b * C + c] * x[b * C + c];
        for (int64_t c = 0; c < C; c++) x[b * C + c] /= sqrt(sum);
    }
}

void reference_features(const reference_batch *batch, const double *target, double *features)
{
    const network net = {batch, target};
    const uint8_t *mask = batch->options->target_view == FSFM_TARGET_MASKED ? batch->target_mask : NULL;
    const int64_t count = batch->B * batch->options->projection_size;
    double *latent = encode(&net, mask), *out = project(&net, mask, latent);
    normalize(out, batch->B, batch->options->projection_size);
    memcpy(features, out, (size_t)count * sizeof *out);
    free(latent);
    free(out);
}

static double similarity(const reference_batch *batch, const double *q, const double *k)
{
    const fsfm_model_options *o = batch->options;
    const int64_t B = batch->B, C = o->projection_size;
    double sum = 0.0;
    for (int64_t i = 0; i < B; i++) {
        double own = 0.0, all = 0.0;
        for (int64_t j = 0; j < B; j++) {
            double dot = 0.0;
            for (int64_t c = 0; c < C; c++) dot += q[i * C + c] * k[j * C + c];
            all += exp(dot / o->temperature);
            if (i == j) own = dot;
        }
        if (o->id_loss == FSFM_ID_COSINE) sum += -0.5 * own;
        if (o->id_loss == FSFM_ID_BYOL) sum += 2.0 - 2.0 * own;
        if (o->id_loss == FSFM_ID_INFONCE) sum += log(all) - own / o->temperature;
    }
    return sum / (double)B;
}

/* Mean squared error of patch l of image b; pred in the order (row, column, channel). */
static double patch_error(const network *net, int64_t b, int64_t l, const double *pred)
{
    const int64_t p = net->batch->options->patch_size, P = p * p * 3;
    double mean = 0.0, variance = 0.0, error = 0.0;
    for (int64_t i = 0; i < P; i++) mean += pixel(net, b, l, i % 3, i / 3 / p, i / 3 % p) / (double)P;
    for (int64_t i = 0; i < P; i++)
        variance += pow(pixel(net, b, l, i % 3, i / 3 / p, i / 3 % p) - mean, 2.0) / (double)(P - 1);
    for (int64_t i = 0; i < P; i++) {
        double target = pixel(net, b, l, i % 3, i / 3 / p, i / 3 % p);
        if (net->batch->options->norm_pix) target = (target - mean) / sqrt(variance + 1e-6);
        error += (pred[i] - target) * (pred[i] - target) / (double)P;
    }
    return error;
}

static void reconstruction(const network *net, const double *latent, fsfm_losses *losses)
{
    const reference_batch *batch = net->batch;
    const fsfm_model_options *o = batch->options;
    const int64_t B = batch->B, L = grid_of(net) * grid_of(net), C = o->decoder_embed_dim;
    const int64_t P = o->patch_size * o->patch_size * 3;
    double *filled = fill_gaps(net, batch->mask, latent);
    double *x = linear(net, "decoder_embed", filled, B * (1 + L), o->embed_dim, C);
    add_position(net, x, C);
    blocks(net, "decoder_blocks", o->decoder_depth, x, B, 1 + L, C, o->decoder_num_heads);
    double *normed = layer_norm(net, "decoder_norm", x, B * (1 + L), C, o->ln_eps);
    double *pred = linear(net, "decoder_pred", normed, B * (1 + L), C, P);
    for (int64_t b = 0; b < B; b++)
        for (int64_t l = 0; l < L; l++) {
            const double error = patch_error(net, b, l, pred + (b * (1 + L) + 1 + l) * P);
            if (batch->mask[b * L + l]) losses->rec_m += error / (double)batch->totals.masked_patches;
            if (batch->region[b * L + l]) losses->rec_fr += error / (double)batch->totals.region_patches;
        }
    free(filled);
    free(x);
    free(normed);
    free(pred);
}

fsfm_losses reference_losses(const reference_batch *batch, const double *online, const double *features)
{
    const network net = {batch, online};
    const fsfm_model_options *o = batch->options;
    fsfm_losses losses = {0};
    double *latent = encode(&net, batch->mask);
    reconstruction(&net, latent, &losses);
    if (o->id_loss != FSFM_ID_NONE) {
        double *projected = project(&net, batch->mask, latent);
        double *predicted = head(&net, "predictor", projected, o->projection_size);
        normalize(predicted, batch->B, o->projection_size);
        losses.sim = similarity(batch, predicted, features);
        free(projected);
        free(predicted);
    }
    losses.loss = losses.rec_m + o->weight_fr * losses.rec_fr + o->weight_sim * losses.sim;
    free(latent);
    return losses;
}
