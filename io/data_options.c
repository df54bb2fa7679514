/* SPDX-License-Identifier: Apache-2.0 */
#include "io/data_options.h"

#define MEMBER(name) offsetof(fsfm_data_options, name)

static const char *const view_names[] = {"none", "flip", "crop", NULL};

const fsfm_option fsfm_data_options_table[] = {
    {"data.path", FSFM_OPTION_TEXT, MEMBER(path), "", 0, 0, NULL, "",
     "folder of the packed dataset (fsfm pack)", true},
    {"data.sources", FSFM_OPTION_SOURCES, MEMBER(sources), NULL, 0, 0, NULL, "",
     "several datasets mixed by weight, instead of data.path", false},
    {"data.augment.view", FSFM_OPTION_CHOICE, MEMBER(augment_view), "none", 0, 0, view_names, "",
     "change of each image and its map: none, a random flip, or a random resized crop and flip", false},
    {"data.max_bad", FSFM_OPTION_INT, MEMBER(max_bad), "16", 0, 1 << 30, NULL, "samples",
     "damaged samples, over all ranks, that are replaced and reported before the run ends", false},
    {"data.threads", FSFM_OPTION_INT, MEMBER(threads), "1", 1, 256, NULL, "", "reader threads of a rank",
     true},
    {"data.prefetch_mib", FSFM_OPTION_INT, MEMBER(prefetch_mib), "64", 1, 1 << 16, NULL, "MiB",
     "memory of a rank for batches that are read ahead", true},
    {"data.stage", FSFM_OPTION_TEXT, MEMBER(stage), "", 0, 0, NULL, "",
     "folder on each node's own disk to which shards are copied first", true},
    {"data.mean", FSFM_OPTION_RGB_OR_AUTO, MEMBER(mean), "auto", 0, 1, NULL, "",
     "mean of the channels for normalisation, of values in [0, 1]; auto: the dataset's", false},
    {"data.std", FSFM_OPTION_RGB_OR_AUTO, MEMBER(std), "auto", 0.001, 1, NULL, "",
     "standard deviation of the channels for normalisation; auto: the dataset's", false},
};
const int fsfm_data_options_count = sizeof fsfm_data_options_table / sizeof *fsfm_data_options_table;
