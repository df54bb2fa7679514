/* SPDX-License-Identifier: Apache-2.0
 * A line is what is near it, so its ends are round; a disc is a line without length. */
#include "io/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

const uint8_t fsfm_ink[3] = {32, 36, 44};

fsfm_status fsfm_draw_begin(int width, int height, fsfm_image *out, fsfm_error *err)
{
    FSFM_TRY(fsfm_image_create(width, height, 3, out, err));
    memset(out->pixels, 255, (size_t)width * (size_t)height * 3);
    return FSFM_OK;
}

fsfm_status fsfm_draw_write(const fsfm_image *image, const char *path, fsfm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fsfm_status st = fsfm_image_encode_png(image, &bytes, &size_bytes, err);
    if (st != FSFM_OK)
        fsfm_context(err, "%s", path);
    else
        st = fsfm_file_write(path, bytes, size_bytes, err);
    free(bytes);
    return st;
}

static void blend(uint8_t *pixel, const uint8_t colour[3], double share)
{
    for (int c = 0; c < 3; c++) pixel[c] = (uint8_t)(pixel[c] + (colour[c] - pixel[c]) * share + 0.5);
}

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static double distance_to_line(double x, double y, double x0, double y0, double dx, double dy)
{
    const double length_squared = dx * dx + dy * dy;
    const double along =
        length_squared > 0.0 ? clamp(((x - x0) * dx + (y - y0) * dy) / length_squared, 0.0, 1.0) : 0.0;
    return hypot(x - x0 - along * dx, y - y0 - along * dy);
}

void fsfm_draw_line(fsfm_image *image, double x0, double y0, double x1, double y1, double width,
                    const uint8_t colour[3])
{
    const double reach = 0.5 * width + 1.0;
    const int left = (int)clamp(fmin(x0, x1) - reach, 0, image->width);
    const int right = (int)clamp(fmax(x0, x1) + reach + 1.0, 0, image->width);
    const int top = (int)clamp(fmin(y0, y1) - reach, 0, image->height);
    const int bottom = (int)clamp(fmax(y0, y1) + reach + 1.0, 0, image->height);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            const double away = distance_to_line(x + 0.5, y + 0.5, x0, y0, x1 - x0, y1 - y0);
            const double share = clamp(0.5 * width + 0.5 - away, 0.0, 1.0);
            if (share > 0.0)
                blend(image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3, colour, share);
        }
}

void fsfm_draw_disc(fsfm_image *image, double x, double y, double radius, const uint8_t colour[3])
{
    fsfm_draw_line(image, x, y, x, y, 2.0 * radius, colour);
}
