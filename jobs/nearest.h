/* SPDX-License-Identifier: Apache-2.0
 * jobs/nearest.h - the known word that a mistyped one was probably meant to be. */
#ifndef FSFM_JOBS_NEAREST_H
#define FSFM_JOBS_NEAREST_H

/* Insertions, deletions, replacements and swaps of neighbours that make b of a; longer words count by their
 * first 63 characters. */
int fsfm_edit_distance(const char *a, const char *b);
/* The entry of words, ended by NULL, with the least distance; the first of equals. NULL if there are none. */
const char *fsfm_nearest_word(const char *word, const char *const *words);
#endif
