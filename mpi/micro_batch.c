/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/micro_batch.h"

#include "mpi/environment.h"

/* Of all memory there is, not of what happens to be free, so that equal machines choose alike. */
static fsfm_status fits_memory(int local_ranks, const fsfm_device *dev, const fsfm_learner_setup *setup,
                               bool *fits, fsfm_error *err)
{
    const uint64_t budget = fsfm_environment_memory_bytes() / 2 / (uint64_t)local_ranks;
    fsfm_learner_memory m;
    FSFM_TRY(fsfm_learner_measure(dev, setup, &m, err));
    *fits = (uint64_t)m.parameters + m.gradients + m.optimizer + m.target + m.activations + m.batch <= budget;
    return FSFM_OK;
}

/* The smallest divisor of the local batch whose visible tokens fill a product. */
static int64_t useful_batch(const fsfm_device *dev, const fsfm_learner_setup *setup)
{
    const int64_t local = setup->local_batch;
    for (int64_t B = 1; B < local && dev->useful_rows > 0; B++)
        if (local % B == 0 && B * (1 + setup->kept) >= dev->useful_rows) return B;
    return local;
}

fsfm_status fsfm_micro_batch_auto(fsfm_comm *comm, int local_ranks, const fsfm_device *dev,
                                  const fsfm_learner_setup *setup, int64_t smallest, int64_t *out,
                                  fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    int64_t B = useful_batch(dev, setup);
    for (bool fits = false; st == FSFM_OK && B > 1; B--) {
        fsfm_learner_setup tried = *setup;
        if (setup->local_batch % B) continue;
        tried.micro_batch = B > smallest ? B : smallest;
        st = fits_memory(local_ranks, dev, &tried, &fits, err);
        if (fits) break;
    }
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    int64_t negative = -B; /* every rank's choice divides the local batch, so the smallest of them does */
    fsfm_comm_max_i64(comm, &negative, 1);
    *out = -negative;
    return FSFM_OK;
}
