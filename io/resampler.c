/* SPDX-License-Identifier: Apache-2.0
 * Weights are whole numbers of 2^-22, so that every compiler and machine gives the same bytes. Both passes
 * mix whole rows, which vectors do well: for the horizontal one the image is turned, so that its columns are
 * rows. */
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

typedef void (*mix_fn)(const int32_t *weights, int taps, const uint8_t *rows, int row_values, uint8_t *out);

struct fsfm_resampler {
    int source_max, size;
    axis_filter across, down;
    mix_fn mix;
    uint8_t *turned; /* (source_max, source_max, 3): the cut, columns first */
    uint8_t *mixed;  /* (size, source_max, 3): after the horizontal pass, columns first */
    uint8_t *middle; /* (source_max, size, 3): the same, rows first */
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
    return (int)ceil(4.0 * (source > size ? (double)source / size : 1.0)) + 1;
}

static void set_taps(axis_filter *filter, int i, int source, int size)
{
    const double centre = (i + 0.5) * source / size, stretch = source > size ? (double)source / size : 1.0;
    /* Pixels whose centres lie within two stretched pixels. */
    int first = (int)ceil(centre - 2.0 * stretch - 0.5), end = (int)floor(centre + 2.0 * stretch - 0.5) + 1;
    first = first < 0 ? 0 : first;
    end = end > source ? source : end;
    int32_t *weights = filter->weights + (size_t)i * (size_t)filter->taps;
    double sum = 0.0;
    for (int x = first; x < end; x++) sum += keys((x + 0.5 - centre) / stretch);
    for (int t = 0; t < filter->taps; t++) {
        const double weight = first + t < end ? keys((first + t + 0.5 - centre) / stretch) / sum : 0.0;
        weights[t] = (int32_t)lround(weight * (1 << WEIGHT_BITS));
    }
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

static uint8_t to_u8(int32_t sum)
{
    const int32_t value = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* The sum over t of weights[t] * rows[t]: rows (taps, row_values) -> out (row_values), in strips whose sums
 * stay in the nearest cache. Rows with weight 0 are not touched: they may lie behind the image. */
static inline __attribute__((always_inline)) void
mix_strips(const int32_t *weights, int taps, const uint8_t *rows, int row_values, uint8_t *out)
{
    for (int start = 0; start < row_values; start += STRIP) {
        const int count = row_values - start < STRIP ? row_values - start : STRIP;
        int32_t sums[STRIP] = {0};
        for (int t = 0; t < taps; t++) {
            const int32_t weight = weights[t];
            if (weight == 0) continue;
            const uint8_t *from = rows + (size_t)t * (size_t)row_values + start;
            for (int v = 0; v < count; v++) sums[v] += weight * from[v];
        }
        for (int v = 0; v < count; v++) out[start + v] = to_u8(sums[v]);
    }
}

static void mix_plain(const int32_t *weights, int taps, const uint8_t *rows, int row_values, uint8_t *out)
{
    mix_strips(weights, taps, rows, row_values, out);
}

#ifdef __x86_64__
/* The same code and the same bytes: SSE2 has no multiplication of 32-bit lanes, this is four times faster. */
static __attribute__((target("avx2"))) void mix_avx2(const int32_t *weights, int taps, const uint8_t *rows,
                                                     int row_values, uint8_t *out)
{
    mix_strips(weights, taps, rows, row_values, out);
}

static mix_fn choose_mix(void)
{
    return __builtin_cpu_supports("avx2") ? mix_avx2 : mix_plain;
}
#else
static mix_fn choose_mix(void)
{
    return mix_plain;
}
#endif

fsfm_status fsfm_resampler_create(int source_max, int size, fsfm_resampler **out, fsfm_error *err)
{
    const size_t source = (size_t)source_max;
    fsfm_resampler *self = calloc(1, sizeof *self);
    *out = NULL;
    if (!self) goto failed;
    self->source_max = source_max;
    self->size = size;
    self->mix = choose_mix();
    self->turned = malloc(source * source * 3);
    self->mixed = malloc(source * (size_t)size * 3);
    self->middle = malloc(source * (size_t)size * 3);
    if (!self->turned || !self->mixed || !self->middle || !make_filter(&self->across, source_max, size) ||
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
    free(self->turned);
    free(self->mixed);
    free(self->middle);
    free(self);
    *resampler = NULL;
}

/* from: rows of row_pixels RGB pixels, of which columns count; to (columns, rows, 3) */
static void turn(const uint8_t *from, size_t row_pixels, int rows, int columns, uint8_t *to)
{
    for (int x = 0; x < columns; x++)
        for (int y = 0; y < rows; y++, to += 3)
            memcpy(to, from + ((size_t)y * row_pixels + (size_t)x) * 3, 3);
}

/* rows (any, row_values) -> out (size, row_values) */
static void resize_rows(mix_fn mix, const axis_filter *filter, int size, const uint8_t *rows, int row_values,
                        uint8_t *out)
{
    for (int i = 0; i < size; i++)
        mix(filter->weights + (size_t)i * (size_t)filter->taps, filter->taps,
            rows + (size_t)filter->first[i] * (size_t)row_values, row_values,
            out + (size_t)i * (size_t)row_values);
}

void fsfm_resampler_run(fsfm_resampler *self, const uint8_t *pixels, int image_width, int x, int y, int width,
                        int height, uint8_t *out)
{
    const int size = self->size;
    const uint8_t *corner = pixels + ((size_t)y * (size_t)image_width + (size_t)x) * 3;
    FSFM_ASSERT(width <= self->source_max && height <= self->source_max);
    set_filter(&self->across, width, size);
    set_filter(&self->down, height, size);
    turn(corner, (size_t)image_width, height, width, self->turned);
    resize_rows(self->mix, &self->across, size, self->turned, height * 3, self->mixed);
    turn(self->mixed, (size_t)height, size, height, self->middle);
    resize_rows(self->mix, &self->down, size, self->middle, size * 3, out);
}
