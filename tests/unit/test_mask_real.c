/* SPDX-License-Identifier: Apache-2.0
 * Masks on the label maps of real faces in ../shared. FSFM_TEST_SEED draws others. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mask/statistics.h"
#include "core/mask/strategy.h"
#include "tests/support/check.h"
#include "tests/support/mask_reference.h"

enum { SIZE = 224, PATCHES = 196, DRAWS = 76, MAPS_MAX = 1000 }; /* 265 maps x 76 draws: over 20,000 */
#define Z_MAX 4.7

typedef struct {
    int count;
    uint8_t map[MAPS_MAX][SIZE * SIZE];
    uint16_t bits[MAPS_MAX][PATCHES];
} faces;

static uint64_t test_seed(void)
{
    const char *given = getenv("FSFM_TEST_SEED");
    return given ? strtoull(given, NULL, 10) : 20240607;
}

/* npy version 1: 8 bytes, the header's length in 2, the header; then the labels. */
static bool read_map(const char *path, uint8_t *map)
{
    uint8_t head[10];
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    const bool good = fread(head, 1, 10, file) == 10 &&
                      fseek(file, head[8] + 256L * head[9], SEEK_CUR) == 0 &&
                      fread(map, 1, SIZE * SIZE, file) == SIZE * SIZE;
    fclose(file);
    return good;
}

static int read_faces(void **state)
{
    const char *shared = shared_folder();
    char folder[600], path[900];
    faces *all = calloc(1, sizeof *all);
    snprintf(folder, sizeof folder, "%s/faces/parsed/parsing_maps", shared ? shared : ".");
    struct dirent **names = NULL;
    const int files = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (all && all->count < MAPS_MAX && strstr(path, ".npy") && read_map(path, all->map[all->count])) {
            fsfm_regions_from_map(all->map[all->count], SIZE, 16, 0, all->bits[all->count]);
            all->count++;
        }
        free(names[i]);
    }
    free(names);
    *state = all;
    return all ? 0 : -1;
}

static int free_faces(void **state)
{
    free(*state);
    return 0;
}

static const faces *faces_or_skip(void **state)
{
    const faces *all = *state;
    if (all->count == 0) skip();
    return all;
}

static void test_regions(void **state)
{
    const faces *all = faces_or_skip(state);
    uint16_t bits[256];
    for (int i = 0; i < all->count; i++)
        for (int patch = 16; patch >= 14; patch -= 2)
            for (int threshold = 0; threshold <= 20; threshold += 20) {
                fsfm_regions_from_map(all->map[i], SIZE, patch, threshold, bits);
                const int grid = SIZE / patch;
                for (int p = i % 7; p < grid * grid; p += 7) /* each seventh patch: the reference is slow */
                    for (int g = 0; g < REFERENCE_GROUPS; g++)
                        assert_int_equal(
                            bits[p] >> g & 1,
                            reference_has_region(all->map[i], SIZE, patch, threshold, p / grid, p % grid, g));
            }
}

static void test_counts(void **state)
{
    const faces *all = faces_or_skip(state);
    for (int i = 0; i < all->count; i++)
        for (int k = 1; k < 20; k++)
            for (int s = 0; s < FSFM_MASK_STRATEGIES; s++) {
                uint8_t mask[PATCHES], region[PATCHES];
                const int budget = PATCHES - PATCHES * (20 - k) / 20;
                fsfm_random random =
                    fsfm_random_stream(test_seed(), FSFM_RANDOM_MASK, (uint32_t)k, (uint64_t)i);
                const int covered =
                    fsfm_mask_draw((fsfm_mask_strategy)s, PATCHES, fsfm_mask_budget(PATCHES, k * 0.05),
                                   all->bits[i], FSFM_REGION_NONE, &random, mask, region);
                const char *wrong = reference_wrong((fsfm_mask_strategy)s, PATCHES, budget, all->bits[i],
                                                    mask, region, covered);
                if (wrong) fail_msg("strategy %d, ratio %.2f, map %d: %s", s, k * 0.05, i, wrong);
            }
}

/* Counts over all draws, and what they should be given the covered groups that came. */
typedef struct {
    int64_t covered[REFERENCE_COVERABLE], removed[MAPS_MAX * PATCHES];
    double covered_expected[REFERENCE_COVERABLE], covered_variance[REFERENCE_COVERABLE];
    double removed_expected[MAPS_MAX * PATCHES], removed_variance[MAPS_MAX * PATCHES];
} tally;

static void expect_regions(tally *sums, const uint16_t *bits)
{
    int present = 0;
    for (int g = 0; g < REFERENCE_COVERABLE; g++)
        present += reference_patches_with(PATCHES, bits, 1u << g) > 0;
    for (int g = 0; g < REFERENCE_COVERABLE; g++)
        if (reference_patches_with(PATCHES, bits, 1u << g) > 0) {
            sums->covered_expected[g] += DRAWS * 1.0 / present;
            sums->covered_variance[g] += DRAWS * 1.0 / present * (1.0 - 1.0 / present);
        }
}

static void draw_face(tally *sums, fsfm_mask_strategy strategy, int budget, const uint16_t *bits, int i)
{
    double chance[1 + REFERENCE_COVERABLE][PATCHES];
    for (int covered = -1; covered < REFERENCE_COVERABLE; covered++)
        reference_patch_chance(PATCHES, budget, bits, covered, chance[1 + covered]);
    for (int draw = 0; draw < DRAWS; draw++) {
        uint8_t mask[PATCHES], region[PATCHES];
        fsfm_random random = fsfm_random_stream(test_seed(), FSFM_RANDOM_MASK, (uint32_t)draw, (uint64_t)i);
        const int covered =
            fsfm_mask_draw(strategy, PATCHES, budget, bits, FSFM_REGION_NONE, &random, mask, region);
        const char *wrong = reference_wrong(strategy, PATCHES, budget, bits, mask, region, covered);
        if (wrong) fail_msg("map %d, draw %d: %s", i, draw, wrong);
        if (covered >= 0) sums->covered[covered]++;
        for (int p = 0; p < PATCHES; p++) {
            const double p_removed = chance[1 + covered][p];
            sums->removed[i * PATCHES + p] += mask[p];
            sums->removed_expected[i * PATCHES + p] += p_removed;
            sums->removed_variance[i * PATCHES + p] += p_removed * (1.0 - p_removed);
        }
    }
}

static void check_distribution(const faces *all, fsfm_mask_strategy strategy, double ratio)
{
    tally *sums = calloc(1, sizeof *sums);
    assert_non_null(sums);
    for (int i = 0; i < all->count; i++) {
        if (strategy == FSFM_MASK_CRFR_P) expect_regions(sums, all->bits[i]);
        draw_face(sums, strategy, fsfm_mask_budget(PATCHES, ratio), all->bits[i], i);
    }
    const double regions_z =
        events_z(sums->covered, sums->covered_expected, sums->covered_variance, REFERENCE_COVERABLE);
    const double patches_z =
        events_z(sums->removed, sums->removed_expected, sums->removed_variance, all->count * PATCHES);
    free(sums);
    print_message("strategy %d, ratio %.2f, %d draws, seed %llu: covered regions %.2f, patches %.2f standard "
                  "deviations\n",
                  (int)strategy, ratio, all->count * DRAWS, (unsigned long long)test_seed(), regions_z,
                  patches_z);
    assert_true(regions_z < Z_MAX);
    assert_true(patches_z < Z_MAX);
}

static void test_distribution(void **state)
{
    const faces *all = faces_or_skip(state);
    check_distribution(all, FSFM_MASK_CRFR_P, 0.75);
    check_distribution(all, FSFM_MASK_CRFR_P, 0.3); /* hair is often larger than the budget */
    check_distribution(all, FSFM_MASK_FRP, 0.75);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_distribution),
    };
    return cmocka_run_group_tests(tests, read_faces, free_faces);
}
