/* SPDX-License-Identifier: Apache-2.0
 * core/model/view.h - what a network sees of a micro-batch: its images, which patches of them it is given,
 * and which it has to predict. */
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
    /* Of the pixel decoder; NULL where there is none. */
    const int32_t *seen;      /* (B, 1 + K) on the device: the seen ones among an image's 1 + L tokens */
    int64_t R;                /* rows predicted of each image */
    const int32_t *patch;     /* (B, R) on the device: the patch that a row predicts, or -1: none */
    const int32_t *predicted; /* (B, R) on the device: 1 + patch, the token that it is predicted from */
} fsfm_network_view;

/* Images [first, first + B) of view. */
fsfm_network_view fsfm_view_part(const fsfm_network_view *view, int64_t first, int64_t B);

/* From mask (B, L), 1 = removed, to index (B, K), slot (B, L) and, where not NULL, seen (B, 1 + K), all in
 * host memory. FSFM_ERR_ARG naming the row if a row's count of zeros is not K. */
FSFM_MUST_USE
fsfm_status fsfm_view_indices(const uint8_t *mask, int64_t B, int64_t L, int64_t K, int32_t *index,
                              int32_t *slot, int32_t *seen, fsfm_error *err);

/* The patches that a loss looks at, those with mask or region (B, L): patch and predicted, (B, R), in host
 * memory with room for L an image. R, which is returned, is the largest count of an image, at least 1; images
 * with fewer get patches that no loss looks at besides. */
int64_t fsfm_view_looked_at(const uint8_t *mask, const uint8_t *region, int64_t B, int64_t L, int32_t *patch,
                            int32_t *predicted);

#ifdef __cplusplus
}
#endif
#endif
