/* SPDX-License-Identifier: Apache-2.0
 * tests/support/mask_reference.h - regions and strategies once more, slow and straight from DESIGN.md's
 * words: not drawn, but the exact chance of every mask, or of every patch. Shares no code with core/mask. */
#ifndef FSFM_TESTS_SUPPORT_MASK_REFERENCE_H
#define FSFM_TESTS_SUPPORT_MASK_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mask/mask_options.h"

enum { REFERENCE_GROUPS = 8, REFERENCE_COVERABLE = 6, REFERENCE_PATCHES_MAX = 10 };

/* Has the patch (row, column) group g (order of DESIGN.md)? */
bool reference_has_region(const uint8_t *map, int size, int patch, int threshold, int row, int column, int g);

/* The group that owns a patch where covered (-1 none) is covered; -1: the covered one. */
int reference_owner(unsigned bits, int covered);
/* Patches that each group owns, and how many it gives before the fix-up (crfr_p, or frp where covered is -1).
 * Returns how many the covered group has. */
int reference_gives(int patches, int budget, const uint16_t *bits, int covered, int own[REFERENCE_GROUPS],
                    int give[REFERENCE_GROUPS]);
/* chance (patches): of each patch to be removed, given the covered group. */
void reference_patch_chance(int patches, int budget, const uint16_t *bits, int covered, double *chance);

/* chance[1 + covered][mask], mask as a set of bits: exact, by enumeration. At most REFERENCE_PATCHES_MAX
 * patches. */
typedef double reference_chances[1 + REFERENCE_COVERABLE][1 << REFERENCE_PATCHES_MAX];
void reference_mask_chance(fsfm_mask_strategy strategy, int patches, int budget, const uint16_t *bits,
                           reference_chances chance);

/* How far counts lie from total * chance, as standard deviations of a normal variable (Pearson's statistic
 * over n cells, by Wilson and Hilferty). Cells with fewer than 5 expected count as one; infinity if a cell of
 * chance 0 was hit. */
double chi_square_z(const int64_t *counts, const double *chance, int n, int64_t total);
/* The same for n separate events that were counted, as the patches of a mask are, each with its expected
 * count and variance. Infinity if an event of no variance came more or less often than expected. */
double events_z(const int64_t *counts, const double *expected, const double *variance, int n);

/* Patches that have one of these groups. */
int reference_patches_with(int patches, const uint16_t *bits, unsigned groups);
/* What must hold for every single mask; returns in words what does not, or NULL. */
const char *reference_wrong(fsfm_mask_strategy strategy, int patches, int budget, const uint16_t *bits,
                            const uint8_t *mask, const uint8_t *region, int covered);
#endif
