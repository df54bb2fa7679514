/* SPDX-License-Identifier: Apache-2.0
 * core/model/view.h - what a network sees of a micro-batch: its images and which patches of them. */
#ifndef FSFM_CORE_MODEL_VIEW_H
#define FSFM_CORE_MODEL_VIEW_H

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t B;
    int64_t K;            /* patches seen of each image */
    int64_t L;            /* patches of an image */
    fsfm_images images;   /* on the device */
    const int32_t *index; /* (B, K) on the device: the patches seen, ascending; NULL: all, K = L */
    const int32_t *slot;  /* (B, L) on the device: where patch l stands among the seen ones, or -1 */
} fsfm_network_view;

/* From mask (B, L), 1 = removed, to index (B, K) and slot (B, L), all in host memory. FSFM_ERR_ARG naming the
 * row if a row's count of zeros is not K. */
FSFM_MUST_USE
fsfm_status fsfm_view_indices(const uint8_t *mask, int64_t B, int64_t L, int64_t K, int32_t *index,
                              int32_t *slot, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
