/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mask/regions.h"

#include <string.h>

#include "core/base/status.h"

#define LABEL(label) (1u << (label))

enum {
    LABEL_SLOTS = 16
}; /* a power of two, so that a wrong label reads no other memory: labels 11 .. 15 have no group */

/* Groups that are a set of labels; boundary is not. */
static const uint16_t labels_of_region[FSFM_REGIONS] = {
    [FSFM_REGION_BROWS] = LABEL(2) | LABEL(3),
    [FSFM_REGION_EYES] = LABEL(4) | LABEL(5),
    [FSFM_REGION_NOSE] = LABEL(6),
    [FSFM_REGION_MOUTH] = LABEL(7) | LABEL(8) | LABEL(9),
    [FSFM_REGION_HAIR] = LABEL(10),
    [FSFM_REGION_SKIN] = LABEL(1),
    [FSFM_REGION_BACKGROUND] = LABEL(0),
};

const char *fsfm_region_name(int region)
{
    static const char *const names[FSFM_REGIONS] = {"brows",    "eyes", "nose", "mouth",
                                                    "boundary", "hair", "skin", "background"};
    return region >= 0 && region < FSFM_REGIONS ? names[region] : "none";
}

static uint16_t regions_of_labels(unsigned labels)
{
    unsigned regions = 0;
    for (int g = 0; g < FSFM_REGIONS; g++)
        if (labels & labels_of_region[g]) regions |= 1u << g;
    if ((labels & LABEL(1)) && (labels & (LABEL(10) | LABEL(0)))) regions |= 1u << FSFM_REGION_BOUNDARY;
    return (uint16_t)regions;
}

/* The set of labels among n pixels. Most words of eight pixels hold one label, that of the word before. */
static unsigned labels_among(const uint8_t *pixels, int n, uint64_t *last_word)
{
    unsigned labels = 0;
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, pixels + i, sizeof word);
        if (word == *last_word) continue;
        *last_word = word;
        for (int k = 0; k < 8; k++) labels |= LABEL(pixels[i + k] % LABEL_SLOTS);
    }
    for (; i < n; i++) labels |= LABEL(pixels[i] % LABEL_SLOTS);
    return labels;
}

static uint16_t regions_of_patch(const uint8_t *corner, int size, int patch)
{
    unsigned labels = 0;
    uint64_t last_word = ~(uint64_t)0; /* no word of labels */
    for (int y = 0; y < patch; y++) labels |= labels_among(corner + (int64_t)y * size, patch, &last_word);
    return regions_of_labels(labels);
}

/* Groups with more than threshold pixels; if there are none, that of the most frequent label. */
static uint16_t regions_of_counts(const int count[LABEL_SLOTS], int threshold)
{
    unsigned regions = 0;
    for (int g = 0; g < FSFM_REGIONS; g++) {
        int pixels = 0;
        for (int label = 0; label < FSFM_LABELS; label++)
            if (labels_of_region[g] & LABEL(label)) pixels += count[label];
        if (labels_of_region[g] && pixels > threshold) regions |= 1u << g;
    }
    if (count[1] > threshold && count[10] + count[0] > threshold) regions |= 1u << FSFM_REGION_BOUNDARY;
    if (regions) return (uint16_t)regions;
    int most = 0;
    for (int label = 1; label < FSFM_LABELS; label++)
        if (count[label] > count[most]) most = label;
    return regions_of_labels(LABEL(most));
}

static uint16_t regions_of_patch_above(const uint8_t *corner, int size, int patch, int threshold)
{
    int count[LABEL_SLOTS] = {0};
    for (int y = 0; y < patch; y++)
        for (int x = 0; x < patch; x++) count[corner[(int64_t)y * size + x] % LABEL_SLOTS]++;
    return regions_of_counts(count, threshold);
}

void fsfm_regions_from_map(const uint8_t *map, int size, int patch, int threshold, uint16_t *bits)
{
    FSFM_ASSERT(patch > 0 && size > 0 && size % patch == 0 && threshold >= 0);
    const int grid = size / patch;
    for (int row = 0; row < grid; row++)
        for (int column = 0; column < grid; column++) {
            const uint8_t *corner = map + ((int64_t)row * size + column) * patch;
            bits[row * grid + column] = threshold > 0 ? regions_of_patch_above(corner, size, patch, threshold)
                                                      : regions_of_patch(corner, size, patch);
        }
}
