/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mask/strategy.h"

#include <math.h>
#include <string.h>

#include "core/base/status.h"

#define BIT(region) (1u << (region))

enum {
    COVERED = FSFM_REGIONS, /* the part of the covered patches, behind those of the owning groups */
    PARTS,
    COVERABLE_BITS = BIT(FSFM_REGIONS_COVERABLE) - 1,
    OWNER_BITS = BIT(FSFM_REGIONS) - 1,
    FACE_BITS = BIT(FSFM_REGION_BROWS) | BIT(FSFM_REGION_EYES) | BIT(FSFM_REGION_NOSE) |
                BIT(FSFM_REGION_MOUTH) | BIT(FSFM_REGION_HAIR)
};

/* The image's patches in disjoint parts, each part's patches side by side: first those that it gives to the
 * mask, then those that it keeps. */
typedef struct {
    uint16_t patch[FSFM_PATCHES_MAX];
    int start[PARTS], size[PARTS], give[PARTS];
} partition;

int fsfm_mask_budget(int patches, double ratio)
{
    return patches - (int)floor(patches * (1.0 - ratio) + 1e-9);
}

bool fsfm_mask_needs_regions(fsfm_mask_strategy strategy)
{
    return strategy != FSFM_MASK_RANDOM;
}

int fsfm_mask_batch_region(uint64_t seed, int64_t step, int64_t group)
{
    fsfm_random random =
        fsfm_random_stream(seed, FSFM_RANDOM_REGION_BATCH, 0, (uint64_t)step << 20 | (uint64_t)group);
    return (int)fsfm_random_below(&random, FSFM_REGIONS_COVERABLE);
}

/* The covered region: the forced one if the image has it, else one of those present, all equally likely. */
static int draw_region(int patches, const uint16_t *bits, int forced_region, fsfm_random *random)
{
    unsigned present = 0;
    for (int p = 0; p < patches; p++) present |= bits[p];
    present &= COVERABLE_BITS;
    if (forced_region != FSFM_REGION_NONE)
        return present & BIT(forced_region) ? forced_region : FSFM_REGION_NONE;
    if (present == 0) return FSFM_REGION_NONE;
    uint32_t skip = fsfm_random_below(random, (uint32_t)__builtin_popcount(present));
    for (; skip > 0; skip--) present &= present - 1;
    return __builtin_ctz(present);
}

/* Sorts the patches into parts: those that have the covered region, and of the others those of each group in
 * owners, in group order, first come. Patches with none of these groups go to the background's part. */
static void split(partition *parts, int patches, const uint16_t *bits, unsigned owners, int covered)
{
    uint8_t part_of[FSFM_PATCHES_MAX];
    const unsigned covered_bit = covered == FSFM_REGION_NONE ? 0 : BIT(covered);
    memset(parts->size, 0, sizeof parts->size);
    memset(parts->give, 0, sizeof parts->give);
    for (int p = 0; p < patches; p++) {
        const unsigned has = bits ? bits[p] : 0;
        const int owner = __builtin_ctz((has & owners) | BIT(FSFM_REGION_BACKGROUND));
        part_of[p] = (uint8_t)(has & covered_bit ? COVERED : owner);
        parts->size[part_of[p]]++;
    }
    int next[PARTS];
    for (int part = 0, start = 0; part < PARTS; start += parts->size[part++])
        next[part] = parts->start[part] = start;
    for (int p = 0; p < patches; p++) parts->patch[next[part_of[p]]++] = (uint16_t)p;
}

/* own * give / of, rounded to the nearest whole number, halves to the even one; exact. */
static int share_of(int own, int give, int of)
{
    if (of == 0) return 0;
    const int whole = own * give / of, rest = own * give % of;
    return whole + (2 * rest > of || (2 * rest == of && whole % 2 == 1));
}

static void swap(uint16_t *a, uint16_t *b)
{
    const uint16_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Brings a uniform subset of count of the n entries to the front: a partial Fisher-Yates shuffle that draws
 * whichever is fewer, the chosen ones or the others. */
static void choose(uint16_t *list, int n, int count, fsfm_random *random)
{
    if (count <= n - count)
        for (int i = 0; i < count; i++)
            swap(list + i, list + i + fsfm_random_below(random, (uint32_t)(n - i)));
    else
        for (int i = n - 1; i >= count; i--)
            swap(list + i, list + fsfm_random_below(random, (uint32_t)(i + 1)));
}

/* Lets the owning parts give exactly want together: takes patches back, or asks for more, each time one that
 * is uniform over all those that could be. The covered part is not touched. */
static void fix_up(partition *parts, int want, fsfm_random *random)
{
    int given = 0, owned = 0;
    for (int part = 0; part < COVERED; part++) {
        given += parts->give[part];
        owned += parts->size[part];
    }
    for (; given > want; given--) {
        int part = 0, i = (int)fsfm_random_below(random, (uint32_t)given);
        while (i >= parts->give[part]) i -= parts->give[part++];
        uint16_t *list = parts->patch + parts->start[part];
        swap(list + i, list + --parts->give[part]);
    }
    for (; given < want; given++) {
        int part = 0, i = (int)fsfm_random_below(random, (uint32_t)(owned - given));
        while (i >= parts->size[part] - parts->give[part]) i -= parts->size[part] - parts->give[part], part++;
        uint16_t *list = parts->patch + parts->start[part];
        swap(list + parts->give[part] + i, list + parts->give[part]);
        parts->give[part]++;
    }
}

/* Every part gives a uniform subset of its share, then the count is made exact. */
static void give_in_proportion(partition *parts, int patches, int budget, fsfm_random *random)
{
    const int covered = parts->size[COVERED];
    parts->give[COVERED] = covered < budget ? covered : budget;
    const int left = budget - parts->give[COVERED];
    choose(parts->patch + parts->start[COVERED], covered, parts->give[COVERED], random);
    for (int part = 0; part < COVERED; part++) {
        parts->give[part] = share_of(parts->size[part], left, patches - covered);
        choose(parts->patch + parts->start[part], parts->size[part], parts->give[part], random);
    }
    fix_up(parts, left, random);
}

/* Patches of facial parts and hair give first, all together. */
static void give_face_first(partition *parts, int patches, int budget, fsfm_random *random)
{
    const int face = parts->start[FSFM_REGION_BACKGROUND]; /* the parts of all other groups lie before it */
    memset(parts->size, 0, sizeof parts->size);
    parts->size[0] = face;
    parts->size[FSFM_REGION_BACKGROUND] = patches - face;
    parts->give[0] = face < budget ? face : budget;
    parts->give[FSFM_REGION_BACKGROUND] = budget - parts->give[0];
    choose(parts->patch, face, parts->give[0], random);
    choose(parts->patch + face, patches - face, parts->give[FSFM_REGION_BACKGROUND], random);
}

static void mark(const partition *parts, int part, uint8_t *mask)
{
    const uint16_t *list = parts->patch + parts->start[part];
    for (int i = 0; i < parts->give[part]; i++) mask[list[i]] = 1;
}

int fsfm_mask_draw(fsfm_mask_strategy strategy, int patches, int budget, const uint16_t *bits,
                   int forced_region, fsfm_random *random, uint8_t *mask, uint8_t *region)
{
    FSFM_ASSERT(patches > 0 && patches <= FSFM_PATCHES_MAX && budget >= 0 && budget <= patches);
    FSFM_ASSERT(bits || !fsfm_mask_needs_regions(strategy));
    int covered = FSFM_REGION_NONE;
    if (strategy == FSFM_MASK_CRFR_R || strategy == FSFM_MASK_CRFR_P) {
        covered = draw_region(patches, bits, forced_region, random);
        if (covered == FSFM_REGION_NONE) strategy = FSFM_MASK_FRP;
    }
    partition parts;
    if (strategy == FSFM_MASK_FASKING_I) {
        split(&parts, patches, bits, FACE_BITS, covered);
        give_face_first(&parts, patches, budget, random);
    } else { /* uniform over the rest is in proportion to a single part */
        const bool is_uniform = strategy == FSFM_MASK_RANDOM || strategy == FSFM_MASK_CRFR_R;
        split(&parts, patches, bits, is_uniform ? 0 : OWNER_BITS, covered);
        give_in_proportion(&parts, patches, budget, random);
    }
    memset(mask, 0, (size_t)patches);
    memset(region, 0, (size_t)patches);
    for (int part = 0; part < PARTS; part++) mark(&parts, part, mask);
    if (covered != FSFM_REGION_NONE) mark(&parts, COVERED, region);
    return covered;
}
