/* SPDX-License-Identifier: Apache-2.0
 * Bicubic and nearest resizing. The bicubic weights are whole numbers of 2^-22, so that every compiler and
 * machine gives the same bytes; with 8-bit pixels the sums stay within 32 bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/codec.h"

enum { WEIGHT_BITS = 22 };

/* Output i is the sum over t < count[i] of weight[i * stride + t] * input[first[i] + t]. */
typedef struct {
    int stride;
    int *first, *count;
    int32_t *weight;
} filter;

static double keys(double x)
{
    const double a = -0.5, d = fabs(x);
    if (d < 1.0) return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    if (d < 2.0) return (((d - 5.0) * d + 8.0) * d - 4.0) * a;
    return 0.0;
}

static void filter_free(filter *f)
{
    free(f->first);
    free(f->count);
    free(f->weight);
}

static void set_taps(filter *f, int i, int m, int n)
{
    const double centre = (i + 0.5) * m / n, stretch = m > n ? (double)m / n : 1.0;
    int first = (int)floor(centre - 2.0 * stretch), end = (int)ceil(centre + 2.0 * stretch);
    first = first < 0 ? 0 : first;
    end = end > m ? m : end;
    int32_t *weight = f->weight + (size_t)i * (size_t)f->stride;
    double sum = 0.0;
    for (int x = first; x < end; x++) sum += keys((x + 0.5 - centre) / stretch);
    for (int x = first; x < end; x++)
        weight[x - first] = (int32_t)lround(keys((x + 0.5 - centre) / stretch) / sum * (1 << WEIGHT_BITS));
    f->first[i] = first;
    f->count[i] = end - first;
}

static fsfm_status filter_make(filter *f, int m, int n, fsfm_error *err)
{
    f->stride = (int)ceil(4.0 * (m > n ? (double)m / n : 1.0)) + 2;
    f->first = calloc((size_t)n, sizeof *f->first);
    f->count = calloc((size_t)n, sizeof *f->count);
    f->weight = calloc((size_t)n * (size_t)f->stride, sizeof *f->weight);
    if (!f->first || !f->count || !f->weight)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to resize %d to %d pixels", m, n);
    for (int i = 0; i < n; i++) set_taps(f, i, m, n);
    return FSFM_OK;
}

static uint8_t to_u8(int32_t sum)
{
    const int32_t value = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* in: (m, channels), out: (n, channels) */
static void resize_row(const filter *f, int n, int channels, const uint8_t *in, uint8_t *out)
{
    for (int i = 0; i < n; i++) {
        const int32_t *weight = f->weight + (size_t)i * (size_t)f->stride;
        const uint8_t *pixel = in + f->first[i] * channels;
        int32_t sum[3] = {0, 0, 0};
        for (int t = 0; t < f->count[i]; t++, pixel += channels)
            for (int c = 0; c < channels; c++) sum[c] += weight[t] * pixel[c];
        for (int c = 0; c < channels; c++) out[i * channels + c] = to_u8(sum[c]);
    }
}

/* rows: (m, row_values), out: (n, row_values), sums: (row_values), scratch */
static void resize_columns(const filter *f, int n, size_t row_values, const uint8_t *rows, uint8_t *out,
                           int32_t *sums)
{
    for (int i = 0; i < n; i++) {
        memset(sums, 0, row_values * sizeof *sums);
        for (int t = 0; t < f->count[i]; t++) {
            const int32_t weight = f->weight[(size_t)i * (size_t)f->stride + (size_t)t];
            const uint8_t *row = rows + (size_t)(f->first[i] + t) * row_values;
            for (size_t v = 0; v < row_values; v++) sums[v] += weight * row[v];
        }
        for (size_t v = 0; v < row_values; v++) out[(size_t)i * row_values + v] = to_u8(sums[v]);
    }
}

static fsfm_status check_crop(const fsfm_image *image, int x, int y, int width, int height, int size,
                              fsfm_error *err)
{
    FSFM_TRY(fsfm_image_check(image, err));
    if (x < 0 || y < 0 || width < 1 || height < 1 || width > image->width - x || height > image->height - y)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "a crop of %d x %d at (%d, %d) does not lie within %d x %d pixels", width, height, x,
                         y, image->width, image->height);
    if (size < 1 || size > FSFM_IMAGE_SIDE_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "an output of %d pixels, expected 1 to %d", size,
                         FSFM_IMAGE_SIDE_MAX);
    return FSFM_OK;
}

fsfm_status fsfm_image_crop_resize(const fsfm_image *image, int x, int y, int width, int height, int size,
                                   fsfm_image *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    FSFM_TRY(check_crop(image, x, y, width, height, size, err));
    fsfm_status st = FSFM_OK;
    filter across = {0}, down = {0};
    const int channels = image->channels;
    const size_t row_values = (size_t)size * (size_t)channels;
    uint8_t *rows =
        malloc((size_t)height * row_values); /* (height, size, channels), after the horizontal pass */
    int32_t *sums = malloc(row_values * sizeof *sums);
    if (!rows || !sums) {
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to resize %d x %d pixels", width, height);
        goto done;
    }
    if ((st = filter_make(&across, width, size, err)) != FSFM_OK) goto done;
    if ((st = filter_make(&down, height, size, err)) != FSFM_OK) goto done;
    if ((st = fsfm_image_create(size, size, channels, out, err)) != FSFM_OK) goto done;
    for (int row = 0; row < height; row++) {
        const size_t first = ((size_t)(y + row) * (size_t)image->width + (size_t)x) * (size_t)channels;
        resize_row(&across, size, channels, image->pixels + first, rows + (size_t)row * row_values);
    }
    resize_columns(&down, size, row_values, rows, out->pixels, sums);
done:
    filter_free(&down);
    filter_free(&across);
    free(sums);
    free(rows);
    return st;
}

fsfm_status fsfm_map_crop_resize(const fsfm_image *map, int x, int y, int width, int height, int size,
                                 fsfm_image *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    FSFM_TRY(check_crop(map, x, y, width, height, size, err));
    FSFM_TRY(fsfm_image_create(size, size, map->channels, out, err));
    const size_t channels = (size_t)map->channels;
    for (int i = 0; i < size; i++) {
        const int64_t row = y + (2 * (int64_t)i + 1) * height / (2 * (int64_t)size);
        for (int j = 0; j < size; j++) {
            const int64_t column = x + (2 * (int64_t)j + 1) * width / (2 * (int64_t)size);
            memcpy(out->pixels + ((size_t)i * (size_t)size + (size_t)j) * channels,
                   map->pixels + ((size_t)row * (size_t)map->width + (size_t)column) * channels, channels);
        }
    }
    return FSFM_OK;
}
