/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/optimizer.h"

#include <stdlib.h>

/* Writes the pieces of all tensors and returns how many; out NULL: only that. */
static int64_t cut(const fsfm_parameters *parameters, bool has_target, fsfm_adamw_piece *out)
{
    int64_t count = 0;
    for (int i = 0; i < parameters->count; i++) {
        const fsfm_parameter *item = &parameters->items[i];
        const fsfm_adamw_piece tensor = {.tensor = item->offset,
                                         .count = item->count,
                                         .is_matrix = item->is_matrix,
                                         .is_decayed = item->is_decayed,
                                         .has_target = has_target && item->is_trunk};
        count += fsfm_adamw_cut(&tensor, out ? out + count : NULL);
    }
    return count;
}

void fsfm_optimizer_layout(fsfm_optimizer *optimizer, fsfm_arena *arena, const fsfm_parameters *parameters)
{
    const size_t count = (size_t)cut(parameters, false, NULL);
    optimizer->pieces = fsfm_arena_bytes(arena, count * sizeof *optimizer->pieces);
    optimizer->numbers = fsfm_arena_bytes(arena, sizeof *optimizer->numbers);
}

fsfm_status fsfm_optimizer_bind(fsfm_optimizer *optimizer, fsfm_device *dev,
                                const fsfm_parameters *parameters, const fsfm_optimizer_arrays *arrays,
                                fsfm_error *err)
{
    const int64_t count = cut(parameters, false, NULL);
    const size_t size_bytes = (size_t)count * sizeof(fsfm_adamw_piece);
    fsfm_adamw_piece *pieces = calloc(1, size_bytes);
    if (!pieces) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the optimiser's list of tensors");
    cut(parameters, arrays->target != NULL, pieces);
    const fsfm_status st = dev->ops->upload(dev, optimizer->pieces, pieces, size_bytes, err);
    free(pieces);
    optimizer->args = (fsfm_adamw_args){
        .count = count,
        .pieces = optimizer->pieces,
        .numbers = optimizer->numbers,
        .params = arrays->online,
        .target = arrays->target,
        .grads = arrays->gradients,
        .m = arrays->moment1,
        .v = arrays->moment2,
        .elements = parameters->total_elements,
        .with_target = arrays->target ? parameters->trunk_elements : 0,
    };
    return st;
}

fsfm_status fsfm_optimizer_update(const fsfm_optimizer *optimizer, fsfm_device *dev,
                                  const fsfm_adamw_update *update, fsfm_error *err)
{
    const fsfm_adamw_numbers numbers = fsfm_adamw_numbers_of(update);
    FSFM_TRY(dev->ops->upload(dev, optimizer->numbers, &numbers, sizeof numbers, err));
    return dev->ops->adamw(dev, &optimizer->args, err);
}
