/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/adamw.h"

#include <math.h>

fsfm_adamw_numbers fsfm_adamw_numbers_of(const fsfm_adamw_update *update)
{
    const double correction1 = 1.0 - pow(update->beta1, (double)update->t),
                 correction2 = 1.0 - pow(update->beta2, (double)update->t);
    return (fsfm_adamw_numbers){
        .t = update->t,
        .scale = (float)update->grad_scale,
        .keep1 = (float)(1.0 - update->beta1),
        .beta2 = (float)update->beta2,
        .keep2 = (float)(1.0 - update->beta2),
        .eps = (float)update->eps,
        .step = (float)(update->lr / correction1),
        .root2 = 1.0f / (float)sqrt(correction2),
        .shrink = (float)(1.0 - update->lr * update->decay),
        .towards = (float)(1.0 - update->momentum),
    };
}

int64_t fsfm_adamw_cut(const fsfm_adamw_piece *tensor, fsfm_adamw_piece *out)
{
    const int64_t pieces = (tensor->count + FSFM_ADAMW_PIECE - 1) / FSFM_ADAMW_PIECE;
    for (int64_t i = 0; out && i < pieces; i++) {
        out[i] = *tensor;
        out[i].first = i * FSFM_ADAMW_PIECE;
    }
    return pieces;
}
