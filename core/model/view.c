/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/view.h"

#include <inttypes.h>

fsfm_status fsfm_view_indices(const uint8_t *mask, int64_t B, int64_t L, int64_t K, int32_t *index,
                              int32_t *slot, fsfm_error *err)
{
    for (int64_t b = 0; b < B; b++) {
        int64_t seen = 0;
        for (int64_t l = 0; l < L; l++) {
            const bool is_seen = mask[b * L + l] == 0;
            slot[b * L + l] = is_seen ? (int32_t)seen : -1;
            if (is_seen && seen < K) index[b * K + seen] = (int32_t)l;
            seen += is_seen;
        }
        if (seen != K)
            return fsfm_fail(err, FSFM_ERR_ARG,
                             "mask of image %" PRId64 " leaves %" PRId64 " patches, expected %" PRId64, b,
                             seen, K);
    }
    return FSFM_OK;
}
