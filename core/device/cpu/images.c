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

static void patches_piece(void *context, int64_t image, int thread)
{
    const image_work *w = context;
    const fsfm_patches_args *a = w->patches;
    const int64_t area = a->images.patch * a->images.patch;
    float *pixels = w->cpu->threads[thread].scratch;
    for (int64_t k = 0; k < a->K; k++) {
        float *out = (float *)a->out + (image * a->K + k) * 3 * area;
        patch_read(&a->images, &w->table, image, a->index ? a->index[image * a->K + k] : k, pixels);
        for (int64_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < area; i++) out[c * area + i] = pixels[3 * i + c];
    }
}

static int64_t patch_values(const fsfm_images *images)
{
    return images->patch * images->patch * 3;
}

fsfm_status fsfm_cpu_patches(fsfm_device *dev, const fsfm_patches_args *args, fsfm_error *err)
{
    image_work w = {.cpu = fsfm_cpu(dev), .patches = args};
    FSFM_TRY(fsfm_cpu_reserve_threads(w.cpu, (size_t)patch_values(&args->images) * sizeof(float), err));
    if (args->images.u8) pixel_table_fill(&w.table, &args->images);
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

static void patch_loss_piece(void *context, int64_t image, int thread)
{
    const image_work *w = context;
    const fsfm_patch_loss_args *a = w->loss;
    const int64_t P = patch_values(&a->images);
    float *target = w->cpu->threads[thread].scratch;
    const float *pred = (const float *)a->pred + image * (1 + a->L) * P;
    float *dpred = a->dpred ? (float *)a->dpred + image * (1 + a->L) * P : NULL;
    double *sums = (double *)w->cpu->shared + 2 * image;
    sums[0] = sums[1] = 0.0;
    if (dpred) memset(dpred, 0, (size_t)P * sizeof *dpred);
    for (int64_t l = 0; l < a->L; l++) {
        const bool mask = a->mask[image * a->L + l], region = a->region[image * a->L + l];
        pred += P;
        if (dpred) dpred += P;
        if (!mask && !region) {
            if (dpred) memset(dpred, 0, (size_t)P * sizeof *dpred);
            continue;
        }
        patch_read(&a->images, &w->table, image, l, target);
        if (a->norm_pix) normalise_target(target, P);
        w->cpu->kernels->axpy(P, -1.0f, pred, target); /* target - pred from here on */
        const double error = w->cpu->kernels->dot(P, target, target) / (double)P;
        const float slope = -2.0f * ((mask ? a->dmask : 0.0f) + (region ? a->dregion : 0.0f)) / (float)P;
        if (mask) sums[0] += error;
        if (region) sums[1] += error;
        for (int64_t p = 0; dpred && p < P; p++) dpred[p] = slope * target[p];
    }
}

fsfm_status fsfm_cpu_patch_loss(fsfm_device *dev, const fsfm_patch_loss_args *args, fsfm_error *err)
{
    image_work w = {.cpu = fsfm_cpu(dev), .loss = args};
    FSFM_TRY(fsfm_cpu_reserve_threads(w.cpu, (size_t)patch_values(&args->images) * sizeof(float), err));
    FSFM_TRY(fsfm_cpu_reserve_shared(w.cpu, (size_t)args->B * 2 * sizeof(double), err));
    if (args->images.u8) pixel_table_fill(&w.table, &args->images);
    fsfm_thread_pool_run(w.cpu->pool, args->B, patch_loss_piece, &w);
    const double *sums = w.cpu->shared;
    for (int64_t image = 0; image < args->B; image++)
        for (int i = 0; i < 2; i++) args->sums[i] += sums[2 * image + i];
    return FSFM_OK;
}
