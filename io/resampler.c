/* SPDX-License-Identifier: Apache-2.0
 * Weights are whole numbers of 2^-22, so that every compiler and machine gives the same bytes. */
#include "io/resampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 22, STRIP = 64 };

/* Output i is the sum over t < taps of weights[i * taps + t] * input[first[i] + t]. */
typedef struct {
    int *first;
    int32_t *weights; /* (size, taps): 0 behind the last tap that counts */
    int taps;
} axis_filter;

struct fsfm_resampler {
    int source_max, size;
    axis_filter across, down;
    uint8_t *row;    /* (source_max + taps, 3): a source row, and room that taps of weight 0 may read */
    uint8_t *middle; /* (source_max + taps, size, 3): rows after the horizontal pass, and such room */
};

/* Keys, "Cubic convolution interpolation for digital image processing" (1981), a = -0.5. */
static double keys(double x)
{
    const double a = -0.5, d = fabs(x);
    if (d < 1.0) return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    if (d < 2.0) return (((d - 5.0) * d + 8.0) * d - 4.0) * a;
    return 0.0;
}

static int taps_for(int source, int size)
{
    return (int)ceil(4.0 * (source > size ? (double)source / size : 1.0)) + 2;
}

/* What rounding each weight leaves over goes to the middle tap: flat areas keep their value exactly. */
static void set_taps(axis_filter *filter, int i, int source, int size)
{
    const double centre = (i + 0.5) * source / size, stretch = source > size ? (double)source / size : 1.0;
    int first = (int)floor(centre - 2.0 * stretch), end = (int)ceil(centre + 2.0 * stretch);
    first = first < 0 ? 0 : first;
    end = end > source ? source : end;
    int32_t *weights = filter->weights + (size_t)i * (size_t)filter->taps, left = 1 << WEIGHT_BITS;
    double sum = 0.0;
    for (int x = first; x < end; x++) sum += keys((x + 0.5 - centre) / stretch);
    for (int t = 0; t < filter->taps; t++) {
        const double weight = first + t < end ? keys((first + t + 0.5 - centre) / stretch) / sum : 0.0;
        weights[t] = (int32_t)lround(weight * (1 << WEIGHT_BITS));
        left -= weights[t];
    }
    const int middle = (int)centre;
    weights[(middle < end ? middle : end - 1) - first] += left;
    filter->first[i] = first;
}

static void set_filter(axis_filter *filter, int source, int size)
{
    filter->taps = taps_for(source, size);
    for (int i = 0; i < size; i++) set_taps(filter, i, source, size);
}

static bool make_filter(axis_filter *filter, int source_max, int size)
{
    filter->first = calloc((size_t)size, sizeof *filter->first);
    filter->weights = calloc((size_t)size * (size_t)taps_for(source_max, size), sizeof *filter->weights);
    return filter->first && filter->weights;
}

fsfm_status fsfm_resampler_create(int source_max, int size, fsfm_resampler **out, fsfm_error *err)
{
    const size_t rows = (size_t)(source_max + taps_for(source_max, size));
    fsfm_resampler *self = calloc(1, sizeof *self);
    *out = NULL;
    if (!self) goto failed;
    self->source_max = source_max;
    self->size = size;
    self->row = calloc(rows, 3);
    self->middle = calloc(rows * (size_t)size, 3);
    if (!self->row || !self->middle || !make_filter(&self->across, source_max, size) ||
        !make_filter(&self->down, source_max, size))
        goto failed;
    *out = self;
    return FSFM_OK;
failed:
    fsfm_resampler_free(&self);
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to resize %d to %d pixels", source_max, size);
}

void fsfm_resampler_free(fsfm_resampler **resampler)
{
    fsfm_resampler *self = *resampler;
    if (!self) return;
    free(self->across.first);
    free(self->across.weights);
    free(self->down.first);
    free(self->down.weights);
    free(self->row);
    free(self->middle);
    free(self);
    *resampler = NULL;
}

static uint8_t to_u8(int32_t sum)
{
    const int32_t value = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* row (width + taps, 3) -> out (size, 3) */
static void resize_row(const axis_filter *filter, const uint8_t *row, int size, uint8_t *out)
{
    const int taps = filter->taps;
    for (int i = 0; i < size; i++) {
        const uint8_t *from = row + (size_t)filter->first[i] * 3;
        const int32_t *weights = filter->weights + (size_t)i * (size_t)taps;
        int32_t red = 0, green = 0, blue = 0;
        for (int t = 0; t < taps; t++) {
            red += weights[t] * from[3 * t];
            green += weights[t] * from[3 * t + 1];
            blue += weights[t] * from[3 * t + 2];
        }
        out[3 * i] = to_u8(red);
        out[3 * i + 1] = to_u8(green);
        out[3 * i + 2] = to_u8(blue);
    }
}

/* rows (taps, row_values) -> out (row_values), in strips whose sums stay in the nearest cache. */
static void mix_rows(const int32_t *weights, int taps, const uint8_t *rows, int row_values, uint8_t *out)
{
    for (int start = 0; start < row_values; start += STRIP) {
        const int count = row_values - start < STRIP ? row_values - start : STRIP;
        int32_t sums[STRIP] = {0};
        for (int t = 0; t < taps; t++) {
            const uint8_t *from = rows + (size_t)t * (size_t)row_values + start;
            if (weights[t] == 0) continue;
            for (int v = 0; v < count; v++) sums[v] += weights[t] * from[v];
        }
        for (int v = 0; v < count; v++) out[start + v] = to_u8(sums[v]);
    }
}

void fsfm_resampler_run(fsfm_resampler *self, const uint8_t *pixels, int image_width, int x, int y, int width,
                        int height, uint8_t *out)
{
    const int size = self->size;
    const size_t row_bytes = (size_t)size * 3;
    FSFM_ASSERT(width <= self->source_max && height <= self->source_max);
    set_filter(&self->across, width, size);
    set_filter(&self->down, height, size);
    for (int line = 0; line < height; line++) {
        memcpy(self->row, pixels + ((size_t)(y + line) * (size_t)image_width + (size_t)x) * 3,
               (size_t)width * 3);
        resize_row(&self->across, self->row, size, self->middle + (size_t)line * row_bytes);
    }
    for (int line = 0; line < size; line++)
        mix_rows(self->down.weights + (size_t)line * (size_t)self->down.taps, self->down.taps,
                 self->middle + (size_t)self->down.first[line] * row_bytes, size * 3,
                 out + (size_t)line * row_bytes);
}
