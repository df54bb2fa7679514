/* SPDX-License-Identifier: Apache-2.0
 * jobs/synth/blend.h - faces with a region of another face blended in. */
#ifndef FSFM_JOBS_SYNTH_BLEND_H
#define FSFM_JOBS_SYNTH_BLEND_H

#include "jobs/synth/face.h"

/* Draws face number index of the fakes of a seed into target; other and share (size, size) are scratch. *out
 * is the face whose picture it pretends to be. */
void fsfm_synth_fake_draw(uint64_t seed, uint64_t index, fsfm_synth_canvas *target, fsfm_synth_canvas *other,
                          float *share, fsfm_synth_face *out);
#endif
