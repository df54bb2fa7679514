/* SPDX-License-Identifier: Apache-2.0
 * mpi/reconstruction.h - the picture of what a model reconstructs: original, masked, reconstructed, covered
 * region. */
#ifndef FSFM_MPI_RECONSTRUCTION_H
#define FSFM_MPI_RECONSTRUCTION_H

#include "core/model/learner.h"
#include "mpi/train_data.h"

/* Not collective. Draws count samples, held-out ones where there are any, always the same ones, to path
 * (PNG). */
FSFM_MUST_USE
fsfm_status fsfm_reconstruction_draw(const fsfm_train_data *data, fsfm_learner *learner, int64_t count,
                                     const char *title, const char *path, fsfm_error *err);

/* out (size, size, 3): visible patches of image as they are, removed ones (mask, one byte a patch) from pred
 * (patches, P), P in the order (row, column, channel). With norm_pix a prediction is in units of the patch's
 * own mean and deviation. */
void fsfm_reconstruction_compose(const uint8_t *image, int size, int patch, const uint8_t *mask,
                                 const float *pred, bool norm_pix, const double mean[3], const double std[3],
                                 uint8_t *out);
#endif
