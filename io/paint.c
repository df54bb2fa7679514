/* SPDX-License-Identifier: Apache-2.0
 * Masks and regions painted onto images, patch by patch. */
#include "io/pictures.h"

#include <stddef.h>

enum { GROUPS = 8, TINT_PERCENT = 60 };

/* In the order of the groups: brows, eyes, nose, mouth, boundary, hair, skin, background. */
static const uint8_t palette[GROUPS][3] = {
    {142, 108, 200}, {46, 134, 222}, {250, 177, 47},  {232, 72, 85},
    {38, 166, 137},  {124, 84, 60},  {244, 196, 168}, {176, 190, 205},
};
static const uint8_t removed[3] = {128, 128, 128}, covered[3] = {238, 96, 85};

/* percent of colour over what is there. */
static void tint_patch(uint8_t *image, int size, int patch, int row, int column, const uint8_t colour[3],
                       int percent)
{
    for (int y = row * patch; y < (row + 1) * patch; y++)
        for (int x = column * patch; x < (column + 1) * patch; x++) {
            uint8_t *pixel = image + ((size_t)y * (size_t)size + (size_t)x) * 3;
            for (int c = 0; c < 3; c++)
                pixel[c] = (uint8_t)((percent * colour[c] + (100 - percent) * pixel[c] + 50) / 100);
        }
}

void fsfm_paint_mask(uint8_t *image, int size, int patch, const uint8_t *mask, const uint8_t *region)
{
    const int side = size / patch;
    for (int row = 0; row < side; row++)
        for (int column = 0; column < side; column++) {
            const int i = row * side + column;
            if (region && region[i])
                tint_patch(image, size, patch, row, column, covered, 100);
            else if (mask[i])
                tint_patch(image, size, patch, row, column, removed, 100);
        }
}

void fsfm_paint_regions(uint8_t *image, int size, int patch, const uint16_t *bits)
{
    const int side = size / patch;
    for (int row = 0; row < side; row++)
        for (int column = 0; column < side; column++)
            for (int group = 0; group < GROUPS; group++)
                if (bits[row * side + column] >> group & 1) {
                    tint_patch(image, size, patch, row, column, palette[group], TINT_PERCENT);
                    break;
                }
}
