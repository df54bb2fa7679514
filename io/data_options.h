/* SPDX-License-Identifier: Apache-2.0
 * io/data_options.h - the keys `data.*`. */
#ifndef FSFM_IO_DATA_OPTIONS_H
#define FSFM_IO_DATA_OPTIONS_H

#include "core/base/options.h"

typedef enum { FSFM_VIEW_NONE, FSFM_VIEW_FLIP, FSFM_VIEW_CROP } fsfm_view;

typedef struct {
    char path[FSFM_TEXT_SIZE]; /* a packed dataset; or sources */
    fsfm_sources sources;
    fsfm_view augment_view; /* key data.augment.view */
    int64_t max_bad;        /* distinct bad samples before the run ends */
    int64_t threads;        /* reader threads of a rank */
    int64_t prefetch_mib;
    char stage[FSFM_TEXT_SIZE]; /* node-local folder to copy the shards to; "" */
    double mean[3], std[3];     /* [0] NAN: the dataset's own */
} fsfm_data_options;

extern const fsfm_option fsfm_data_options_table[];
extern const int fsfm_data_options_count;
#endif
