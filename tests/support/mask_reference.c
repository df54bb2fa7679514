/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/mask_reference.h"

#include <math.h>
#include <string.h>

static int pixels_with(const uint8_t *map, int size, int patch, int row, int column, int first, int last)
{
    int found = 0;
    for (int y = row * patch; y < (row + 1) * patch; y++)
        for (int x = column * patch; x < (column + 1) * patch; x++)
            if (map[y * size + x] >= first && map[y * size + x] <= last) found++;
    return found;
}

static bool is_above(const uint8_t *map, int size, int patch, int threshold, int row, int column, int g)
{
    static const int first[REFERENCE_GROUPS] = {2, 4, 6, 7, -1, 10, 1, 0};
    static const int last[REFERENCE_GROUPS] = {3, 5, 6, 9, -1, 10, 1, 0};
    if (g != 4) return pixels_with(map, size, patch, row, column, first[g], last[g]) > threshold;
    const int skin = pixels_with(map, size, patch, row, column, 1, 1);
    const int hair = pixels_with(map, size, patch, row, column, 10, 10);
    const int background = pixels_with(map, size, patch, row, column, 0, 0);
    return skin > threshold && hair + background > threshold;
}

bool reference_has_region(const uint8_t *map, int size, int patch, int threshold, int row, int column, int g)
{
    static const int group_of_label[11] = {7, 6, 0, 0, 1, 1, 2, 3, 3, 3, 5};
    for (int other = 0; other < REFERENCE_GROUPS; other++)
        if (is_above(map, size, patch, threshold, row, column, other))
            return is_above(map, size, patch, threshold, row, column, g);
    int best = 10;
    for (int label = 9; label >= 0; label--)
        if (pixels_with(map, size, patch, row, column, label, label) >=
            pixels_with(map, size, patch, row, column, best, best))
            best = label;
    return group_of_label[best] == g;
}

int reference_owner(unsigned bits, int covered)
{
    if (covered >= 0 && (bits >> covered & 1)) return -1;
    for (int g = 0; g < REFERENCE_GROUPS; g++)
        if (bits >> g & 1) return g;
    return REFERENCE_GROUPS - 1;
}

/* The whole number nearest to own * budget_left / patches_left; of two equally near ones the even one. */
static int nearest(int own, int budget_left, int patches_left)
{
    int best = 0, best_distance = own * budget_left;
    for (int n = 1; n <= own; n++) {
        int distance = n * patches_left - own * budget_left;
        if (distance < 0) distance = -distance;
        if (distance < best_distance || (distance == best_distance && n % 2 == 0)) {
            best = n;
            best_distance = distance;
        }
    }
    return best;
}

int reference_gives(int patches, int budget, const uint16_t *bits, int covered, int own[REFERENCE_GROUPS],
                    int give[REFERENCE_GROUPS])
{
    int covers = 0;
    memset(own, 0, REFERENCE_GROUPS * sizeof own[0]);
    for (int p = 0; p < patches; p++) {
        const int owner = reference_owner(bits[p], covered);
        if (owner < 0)
            covers++;
        else
            own[owner]++;
    }
    for (int g = 0; g < REFERENCE_GROUPS; g++)
        give[g] = covers >= budget ? 0 : nearest(own[g], budget - covers, patches - covers);
    return covers;
}

void reference_patch_chance(int patches, int budget, const uint16_t *bits, int covered, double *chance)
{
    int own[REFERENCE_GROUPS], give[REFERENCE_GROUPS], given = 0;
    const int covers = reference_gives(patches, budget, bits, covered, own, give);
    for (int g = 0; g < REFERENCE_GROUPS; g++) given += give[g];
    const int more = budget - covers - given;
    const double add = more > 0 ? (double)more / (patches - covers - given) : 0.0;
    const double drop = more < 0 && covers <= budget ? (double)-more / given : 0.0;
    for (int p = 0; p < patches; p++) {
        const int owner = reference_owner(bits[p], covered);
        if (covers > budget)
            chance[p] = owner < 0 ? (double)budget / covers : 0.0;
        else {
            const double first = owner < 0 ? 1.0 : (double)give[owner] / own[owner];
            chance[p] = owner < 0 ? 1.0 : first * (1.0 - drop) + (1.0 - first) * add;
        }
    }
}

static int size_of(unsigned set)
{
    int n = 0;
    for (; set; set >>= 1) n += (int)(set & 1);
    return n;
}

static double subsets(int n, int k)
{
    double ways = 1.0;
    for (int i = 1; i <= k; i++) ways = ways * (n - k + i) / i;
    return ways;
}

/* Spreads weight evenly over base united with every subset of pool that has k members. */
static void add_subsets(double *chance, unsigned base, unsigned pool, int k, double weight)
{
    const double each = weight / subsets(size_of(pool), k);
    for (unsigned set = 0; set <= pool; set++)
        if ((set & ~pool) == 0 && size_of(set) == k) chance[base | set] += each;
}

/* taken: what groups before g gave (without covered). */
static void enumerate_groups(double *chance, int g, const unsigned own[REFERENCE_GROUPS],
                             const int give[REFERENCE_GROUPS], unsigned covered, unsigned rest,
                             unsigned taken, int want, double weight)
{
    if (g < REFERENCE_GROUPS) {
        const double each = weight / subsets(size_of(own[g]), give[g]);
        for (unsigned set = 0; set <= own[g]; set++)
            if ((set & ~own[g]) == 0 && size_of(set) == give[g])
                enumerate_groups(chance, g + 1, own, give, covered, rest, taken | set, want, each);
    } else if (size_of(taken) <= want)
        add_subsets(chance, covered | taken, rest & ~taken, want - size_of(taken), weight);
    else /* those that stay are as uniform as those that go */
        add_subsets(chance, covered, taken, want, weight);
}

static void add_proportional(double *chance, int patches, int budget, const uint16_t *bits, int covered,
                             double weight)
{
    int count[REFERENCE_GROUPS], give[REFERENCE_GROUPS];
    unsigned own[REFERENCE_GROUPS] = {0}, covers = 0;
    for (int p = 0; p < patches; p++) {
        const int owner = reference_owner(bits[p], covered);
        if (owner < 0)
            covers |= 1u << p;
        else
            own[owner] |= 1u << p;
    }
    reference_gives(patches, budget, bits, covered, count, give);
    const unsigned rest = ((1u << patches) - 1) & ~covers;
    enumerate_groups(chance, 0, own, give, covers, rest, 0, budget - size_of(covers), weight);
}

static unsigned patches_with(int patches, const uint16_t *bits, unsigned groups)
{
    unsigned set = 0;
    for (int p = 0; p < patches; p++)
        if (bits[p] & groups) set |= 1u << p;
    return set;
}

void reference_mask_chance(fsfm_mask_strategy strategy, int patches, int budget, const uint16_t *bits,
                           reference_chances chance)
{
    memset(chance, 0, sizeof(reference_chances));
    const unsigned all = (1u << patches) - 1;
    int present = 0;
    for (int g = 0; g < REFERENCE_COVERABLE; g++) present += patches_with(patches, bits, 1u << g) != 0;
    const bool covers = strategy == FSFM_MASK_CRFR_R || strategy == FSFM_MASK_CRFR_P;
    if (strategy == FSFM_MASK_RANDOM)
        add_subsets(chance[0], 0, all, budget, 1.0);
    else if (strategy == FSFM_MASK_FASKING_I) {
        const unsigned face = patches_with(patches, bits, 1 | 2 | 4 | 8 | 32);
        if (size_of(face) >= budget)
            add_subsets(chance[0], 0, face, budget, 1.0);
        else
            add_subsets(chance[0], face, all & ~face, budget - size_of(face), 1.0);
    } else if (!covers || present == 0)
        add_proportional(chance[0], patches, budget, bits, -1, 1.0);
    for (int g = 0; covers && g < REFERENCE_COVERABLE; g++) {
        const unsigned region = patches_with(patches, bits, 1u << g);
        if (region == 0) continue;
        if (size_of(region) > budget)
            add_subsets(chance[1 + g], 0, region, budget, 1.0 / present);
        else if (strategy == FSFM_MASK_CRFR_R)
            add_subsets(chance[1 + g], region, all & ~region, budget - size_of(region), 1.0 / present);
        else
            add_proportional(chance[1 + g], patches, budget, bits, g, 1.0 / present);
    }
}

static double wilson_hilferty(double sum, int freedom)
{
    if (freedom < 1) return 0.0;
    const double spread = 2.0 / (9.0 * freedom);
    return (cbrt(sum / freedom) - (1.0 - spread)) / sqrt(spread);
}

double chi_square_z(const int64_t *counts, const double *chance, int n, int64_t total)
{
    double sum = 0.0, rare_expected = 0.0, rare_count = 0.0;
    int cells = 0;
    for (int i = 0; i < n; i++) {
        const double expected = chance[i] * (double)total, count = (double)counts[i];
        if (chance[i] <= 0.0) {
            if (counts[i] != 0) return INFINITY;
        } else if (expected < 5.0) {
            rare_expected += expected;
            rare_count += count;
        } else {
            sum += (count - expected) * (count - expected) / expected;
            cells++;
        }
    }
    if (rare_expected >= 5.0) {
        sum += (rare_count - rare_expected) * (rare_count - rare_expected) / rare_expected;
        cells++;
    }
    return wilson_hilferty(sum, cells - 1);
}

double events_z(const int64_t *counts, const double *expected, const double *variance, int n)
{
    double sum = 0.0;
    int cells = 0;
    for (int i = 0; i < n; i++) {
        const double off = (double)counts[i] - expected[i];
        if (variance[i] < 1e-6) {
            if (fabs(off) > 0.5) return INFINITY;
        } else {
            sum += off * off / variance[i];
            cells++;
        }
    }
    return wilson_hilferty(sum, cells);
}

static int members(const uint8_t *set, int patches)
{
    int n = 0;
    for (int p = 0; p < patches; p++) n += set[p];
    return n;
}

int reference_patches_with(int patches, const uint16_t *bits, unsigned groups)
{
    int n = 0;
    for (int p = 0; p < patches; p++) n += (bits[p] & groups) != 0;
    return n;
}

static const char *check_proportion(int patches, int budget, const uint16_t *bits, const uint8_t *mask,
                                    int covered)
{
    int own[REFERENCE_GROUPS], give[REFERENCE_GROUPS], got[REFERENCE_GROUPS] = {0}, above = 0, below = 0,
                                                       given = 0;
    const int covers = reference_gives(patches, budget, bits, covered, own, give);
    if (covers > budget) return NULL;
    for (int p = 0; p < patches; p++) {
        const int owner = reference_owner(bits[p], covered);
        if (owner >= 0) got[owner] += mask[p];
    }
    for (int g = 0; g < REFERENCE_GROUPS; g++) {
        given += give[g];
        above += got[g] > give[g] ? got[g] - give[g] : 0;
        below += got[g] < give[g] ? give[g] - got[g] : 0;
    }
    if (above && below) return "the fix-up both adds and removes";
    return above - below == budget - covers - given ? NULL : "a group's share";
}

/* What must hold for every single mask. Returns what does not. */
const char *reference_wrong(fsfm_mask_strategy strategy, int patches, int budget, const uint16_t *bits,
                            const uint8_t *mask, const uint8_t *region, int covered)
{
    const bool covers = strategy == FSFM_MASK_CRFR_R || strategy == FSFM_MASK_CRFR_P;
    const unsigned face_groups = 1 | 2 | 4 | 8 | 32;
    const int face = reference_patches_with(patches, bits, face_groups);
    if (members(mask, patches) != budget) return "count";
    if (covered < 0) {
        if (members(region, patches) != 0) return "region without a covered group";
        if (covers && reference_patches_with(patches, bits, 63)) return "nothing covered";
    } else {
        const int has = reference_patches_with(patches, bits, 1u << covered);
        if (!covers || covered >= REFERENCE_COVERABLE || has == 0) return "covered group";
        for (int p = 0; p < patches; p++)
            if (region[p] > mask[p] || region[p] > (bits[p] >> covered & 1))
                return "region outside mask or group";
        if (members(region, patches) != (has < budget ? has : budget)) return "region not fully covered";
    }
    for (int p = 0; p < patches && strategy == FSFM_MASK_FASKING_I; p++)
        if ((bits[p] & face_groups ? face <= budget : face >= budget) &&
            mask[p] != ((bits[p] & face_groups) != 0))
            return "face first";
    const bool proportional =
        strategy == FSFM_MASK_FRP || strategy == FSFM_MASK_CRFR_P || (covers && covered < 0);
    return proportional ? check_proportion(patches, budget, bits, mask, covered) : NULL;
}
