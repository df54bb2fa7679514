/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/images.c - what is made of pixels: patches for the encoder, targets of the reconstruction.
 */
#include <math.h>
#include <string.h>

#include "core/device/cpu/cpu_device.h"

/* Normalised value of every byte in every channel. */
typedef struct {
    float value[3][256];
} pixel_table;

static void pixel_table_fill(pixel_table *table, const fsfm_images *images)
{
    for (int c = 0; c < 3; c++)
        for (int byte = 0; byte < 256; byte++)
            table->value[c][byte] =
                (float)((byte / 255.0 - (double)images->mean[c]) / (double)images->std[c]);
}

/* Values (patch, patch, 3) of patch l of an image, in the order (row, column, channel). */
static void patch_read(const fsfm_images *images, const pixel_table *table, int64_t image, int64_t l,
                       float *out)
{
    const int64_t size = images->size, patch = images->patch, across = size / patch, line = patch * 3;
    const int64_t first = ((image * size + l / across * patch) * size + l % across * patch) * 3;
    for (int64_t y = 0; y < patch; y++, out += line) {
        const int64_t at = first + y * size * 3;
        if (images->f32)
            memcpy(out, images->f32 + at, (size_t)line * sizeof *out);
        else
            for (int64_t x = 0; x < line; x += 3)
                for (int64_t c = 0; c < 3; c++) out[x + c] = table->value[c][images->u8[at + x + c]];
    }
}

typedef struct {
    fsfm_cpu_device *cpu;
    pixel_table table;
    const fsfm_patches_args *patches;
    const fsfm_patch_loss_args *loss;
} image_work;

static int64_t patch_values(const fsfm_images *images)
{
    return images->patch * images->patch * 3;
}

/* A thread's scratch holds two patches: pixels, and what is made of them. */
static fsfm_status image_work_begin(image_work *work, const fsfm_images *images, fsfm_error *err)
{
    if (images->u8) pixel_table_fill(&work->table, images);
    return fsfm_cpu_reserve_threads(work->cpu, (size_t)(2 * patch_values(images)) * sizeof(float), err);
}

static void patches_piece(void *context, int64_t image, int thread)
{
    const image_work *w = context;
    const fsfm_patches_args *a = w->patches;
    const int64_t area = a->images.patch * a->images.patch, P = 3 * area;
    float *pixels = w->cpu->scratch[thread], *planes = pixels + P;
    for (int64_t k = 0; k < a->K; k++) {
        patch_read(&a->images, &w->table, image, a->index ? a->index[image * a->K + k] : k, pixels);
        for (int64_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < area; i++) planes[c * area + i] = pixels[3 * i + c];
        w->cpu->kernels->to_act(P, planes, fsfm_cpu_at(w->cpu, a->out, (image * a->K + k) * P));
    }
}

fsfm_status fsfm_cpu_patches(fsfm_device *dev, const fsfm_patches_args *args, fsfm_error *err)
{
    image_work w = {.cpu = fsfm_cpu(dev), .patches = args};
    FSFM_TRY(image_work_begin(&w, &args->images, err));
    fsfm_thread_pool_run(w.cpu->pool, args->B, patches_piece, &w);
    return FSFM_OK;
}

/* In place: minus the mean, over the standard deviation (P - 1). */
static void normalise_target(float *target, int64_t P)
{
    double sum = 0.0, squares = 0.0;
    for (int64_t p = 0; p < P; p++) sum += (double)target[p];
    const double mean = sum / (double)P;
    for (int64_t p = 0; p < P; p++) squares += ((double)target[p] - mean) * ((double)target[p] - mean);
    const double scale = 1.0 / sqrt(squares / (double)(P - 1) + 1e-6);
    for (int64_t p = 0; p < P; p++) target[p] = (float)(((double)target[p] - mean) * scale);
}

/* One row: adds to sums, sets dpred (P) where not NULL. difference and pixels are scratch. */
static void row_loss(const image_work *w, int64_t image, int64_t l, const fsfm_act *pred, float *difference,
                     float *pixels, double *sums, fsfm_act *dpred)
{
    const fsfm_patch_loss_args *a = w->loss;
    const fsfm_cpu_kernels *kernels = w->cpu->kernels;
    const int64_t P = patch_values(&a->images);
    const bool mask = l >= 0 && a->mask[image * a->L + l], region = l >= 0 && a->region[image * a->L + l];
    if (!mask && !region) {
        if (dpred) memset(dpred, 0, (size_t)P * kernels->act_bytes);
        return;
    }
    patch_read(&a->images, &w->table, image, l, pixels);
    if (a->norm_pix) normalise_target(pixels, P);
    kernels->to_float(P, pred, difference);
    kernels->axpy(P, -1.0f, pixels, difference);
    const double error = kernels->dot(P, difference, difference) / (double)P;
    if (mask) sums[0] += error;
    if (region) sums[1] += error;
    if (!dpred) return;
    const float slope = 2.0f * ((mask ? a->scales[0] : 0.0f) + (region ? a->scales[1] : 0.0f)) / (float)P;
    for (int64_t p = 0; p < P; p++) difference[p] *= slope;
    kernels->to_act(P, difference, dpred);
}

static void patch_loss_piece(void *context, int64_t image, int thread)
{
    const image_work *w = context;
    const fsfm_patch_loss_args *a = w->loss;
    const int64_t P = patch_values(&a->images);
    float *difference = w->cpu->scratch[thread], *pixels = difference + P;
    double *sums = (double *)w->cpu->shared + 2 * image;
    sums[0] = sums[1] = 0.0;
    for (int64_t r = image * a->R; r < (image + 1) * a->R; r++)
        row_loss(w, image, a->patch[r], fsfm_cpu_at(w->cpu, a->pred, r * P), difference, pixels, sums,
                 a->dpred ? fsfm_cpu_at(w->cpu, a->dpred, r * P) : NULL);
}

fsfm_status fsfm_cpu_patch_loss(fsfm_device *dev, const fsfm_patch_loss_args *args, fsfm_error *err)
{
    image_work w = {.cpu = fsfm_cpu(dev), .loss = args};
    FSFM_TRY(image_work_begin(&w, &args->images, err));
    FSFM_TRY(fsfm_cpu_reserve_shared(w.cpu, (size_t)args->B * 2 * sizeof(double), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B, patch_loss_piece, &w);
    const double *sums = w.cpu->shared;
    for (int64_t image = 0; image < args->B; image++)
        for (int i = 0; i < 2; i++) args->sums[i] += sums[2 * image + i];
    return FSFM_OK;
}
