/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

int64_t fsfm_schedule_steps(const fsfm_schedule *schedule)
{
    return (int64_t)floor(schedule->epochs * (double)schedule->steps_per_epoch + 1e-9);
}

double fsfm_schedule_epoch(const fsfm_schedule *schedule, int64_t step)
{
    return (double)step / (double)schedule->steps_per_epoch;
}

double fsfm_schedule_lr(const fsfm_schedule *schedule, int64_t step)
{
    const double peak = schedule->blr * (double)schedule->global_batch / 256.0;
    const double e = fsfm_schedule_epoch(schedule, step), warmup = schedule->warmup_epochs;
    if (e < warmup) return peak * e / warmup;
    return peak * 0.5 * (1.0 + cos(pi * (e - warmup) / (schedule->epochs - warmup)));
}

double fsfm_schedule_momentum(const fsfm_schedule *schedule, int64_t step)
{
    const double share = (double)step / (double)fsfm_schedule_steps(schedule);
    return 1.0 - (1.0 - schedule->momentum) * 0.5 * (1.0 + cos(pi * share));
}
