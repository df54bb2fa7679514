/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/view.h"

#include <inttypes.h>

static const int32_t *rows_after(const int32_t *rows, int64_t count)
{
    return rows ? rows + count : NULL;
}

fsfm_network_view fsfm_view_part(const fsfm_network_view *view, int64_t first, int64_t B)
{
    fsfm_network_view part = *view;
    const int64_t values = first * view->images.size * view->images.size * 3;
    part.B = B;
    if (part.images.u8) part.images.u8 += values;
    if (part.images.f32) part.images.f32 += values;
    part.index = rows_after(view->index, first * view->K);
    part.slot = rows_after(view->slot, first * view->L);
    part.seen = rows_after(view->seen, first * (1 + view->K));
    part.patch = rows_after(view->patch, first * view->R);
    part.predicted = rows_after(view->predicted, first * view->R);
    return part;
}

fsfm_status fsfm_view_indices(const uint8_t *mask, int64_t B, int64_t L, int64_t K, int32_t *index,
                              int32_t *slot, int32_t *seen, fsfm_error *err)
{
    for (int64_t b = 0; b < B; b++) {
        int64_t count = 0;
        for (int64_t l = 0; l < L; l++) {
            const bool is_seen = mask[b * L + l] == 0;
            slot[b * L + l] = is_seen ? (int32_t)count : -1;
            if (is_seen && count < K) index[b * K + count] = (int32_t)l;
            count += is_seen;
        }
        if (count != K)
            return fsfm_fail(err, FSFM_ERR_ARG,
                             "mask of image %" PRId64 " leaves %" PRId64 " patches, expected %" PRId64, b,
                             count, K);
        if (!seen) continue;
        seen[b * (1 + K)] = 0;
        for (int64_t k = 0; k < K; k++) seen[b * (1 + K) + 1 + k] = 1 + index[b * K + k];
    }
    return FSFM_OK;
}

static bool is_looked_at(const uint8_t *mask, const uint8_t *region, int64_t at)
{
    return mask[at] || region[at];
}

static int64_t most_looked_at(const uint8_t *mask, const uint8_t *region, int64_t B, int64_t L)
{
    int64_t most = 1;
    for (int64_t b = 0; b < B; b++) {
        int64_t count = 0;
        for (int64_t l = 0; l < L; l++) count += is_looked_at(mask, region, b * L + l);
        if (count > most) most = count;
    }
    return most;
}

int64_t fsfm_view_looked_at(const uint8_t *mask, const uint8_t *region, int64_t B, int64_t L, int32_t *patch,
                            int32_t *predicted)
{
    const int64_t R = most_looked_at(mask, region, B, L);
    for (int64_t b = 0; b < B; b++) {
        int64_t count = 0;
        for (int pass = 0; pass < 2; pass++) /* those looked at, then others to make up the number */
            for (int64_t l = 0; l < L && count < R; l++)
                if (is_looked_at(mask, region, b * L + l) == (pass == 0)) patch[b * R + count++] = (int32_t)l;
        for (int64_t r = b * R; r < (b + 1) * R; r++) predicted[r] = 1 + patch[r];
    }
    return R;
}
