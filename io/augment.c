/* SPDX-License-Identifier: Apache-2.0 */
#include "io/augment.h"

#include <math.h>

#include "core/base/random.h"

enum { TRIES = 10 };

/* Szegedy et al., "Going deeper with convolutions" (2015): area uniform, ratio uniform in its logarithm. */
static void draw_crop(fsfm_random *random, int size, fsfm_cut *cut)
{
    const double log_ratio = log(4.0 / 3.0);
    for (int i = 0; i < TRIES; i++) {
        const double area = (double)size * size * (0.5 + 0.5 * fsfm_random_double(random));
        const double ratio = exp(log_ratio * (2.0 * fsfm_random_double(random) - 1.0));
        const int width = (int)lround(sqrt(area * ratio)), height = (int)lround(sqrt(area / ratio));
        if (width < 1 || height < 1 || width > size || height > size) continue;
        cut->width = width;
        cut->height = height;
        cut->x = (int)fsfm_random_below(random, (uint32_t)(size - width + 1));
        cut->y = (int)fsfm_random_below(random, (uint32_t)(size - height + 1));
        return;
    }
    /* The largest central cut with an allowed ratio: all of a square image, which cut is already. */
}

fsfm_cut fsfm_cut_draw(fsfm_view view, int size, uint64_t seed, fsfm_place place)
{
    fsfm_cut cut = {.width = size, .height = size};
    if (view == FSFM_VIEW_NONE) return cut;
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_AUGMENT, place.pass, fsfm_place_key(place));
    if (view == FSFM_VIEW_CROP) draw_crop(&random, size, &cut);
    cut.is_flipped = fsfm_random_double(&random) < 0.5;
    return cut;
}

void fsfm_flip_pixels(uint8_t *pixels, int width, int height)
{
    for (int y = 0; y < height; y++) {
        uint8_t *left = pixels + (size_t)y * (size_t)width * 3, *right = left + (size_t)(width - 1) * 3;
        for (; left < right; left += 3, right -= 3)
            for (int c = 0; c < 3; c++) {
                const uint8_t kept = left[c];
                left[c] = right[c];
                right[c] = kept;
            }
    }
}

void fsfm_flip_bits(const uint16_t *bits, int across, uint16_t *out)
{
    for (int row = 0; row < across; row++)
        for (int column = 0; column < across; column++)
            out[row * across + column] = bits[row * across + across - 1 - column];
}

/* Output pixel i of size takes the source pixel that holds its centre, (2 i + 1) extent / (2 size) rounded
 * down: counted in integers, without a division each. extent <= size. */
static void stretch_row(const uint8_t *from, int extent, int size, bool is_flipped, uint8_t *to)
{
    const int step = is_flipped ? -1 : 1;
    int rest = extent, at = 0; /* (2 i + 1) extent = 2 size at + rest */
    if (is_flipped) to += size - 1;
    for (int i = 0; i < size; i++, to += step, rest += 2 * extent) {
        while (rest >= 2 * size) {
            rest -= 2 * size;
            at++;
        }
        *to = from[at];
    }
}

void fsfm_cut_map(const fsfm_cut *cut, const uint8_t *map, int size, uint8_t *out)
{
    for (int y = 0; y < size; y++) {
        const int line = cut->y + (int)((int64_t)(2 * y + 1) * cut->height / (2 * size));
        stretch_row(map + (size_t)line * (size_t)size + cut->x, cut->width, size, cut->is_flipped,
                    out + (size_t)y * (size_t)size);
    }
}
