/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/nearest.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

enum { LENGTH_MAX = 63 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

int fsfm_edit_distance(const char *a, const char *b)
{
    const int rows = (int)strnlen(a, LENGTH_MAX), columns = (int)strnlen(b, LENGTH_MAX);
    int cost[LENGTH_MAX + 1][LENGTH_MAX + 1]; /* [i][j]: the first i characters of a to the first j of b */
    for (int i = 0; i <= rows; i++)
        for (int j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            cost[i][j] = least(cost[i - 1][j], cost[i][j - 1]) + 1;
            cost[i][j] = least(cost[i][j], cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    return cost[rows][columns];
}

const char *fsfm_nearest_word(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    int best = INT_MAX;
    for (int i = 0; words[i]; i++) {
        const int distance = fsfm_edit_distance(word, words[i]);
        if (distance < best) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}
