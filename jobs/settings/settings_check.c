/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mask/strategy.h"
#include "jobs/settings.h"
#include "jobs/settings/settings_places.h"

static fsfm_status FSFM_PRINTF(4, 5)
    fail_key(const fsfm_places *places, const char *key, fsfm_error *err, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    fsfm_fail(err, FSFM_ERR_ARG, "%s", what);
    return fsfm_places_context(places, key, err);
}

/* Two keys of which at most one may be given: the later one is at fault. */
static fsfm_status fail_both(const fsfm_places *places, const char *a, const char *b, fsfm_error *err)
{
    const char *later = fsfm_places_later(places, a, b);
    return fail_key(places, later, err, "expected this or %s, found both", later == a ? b : a);
}

static fsfm_status check_model(const fsfm_places *places, fsfm_settings *settings, fsfm_error *err)
{
    fsfm_model_options *model = &settings->model;
    const char *key = NULL;
    if (fsfm_model_options_resolve(model, &key, err) != FSFM_OK) return fsfm_places_context(places, key, err);
    const int64_t side = model->img_size / model->patch_size, patches = side * side;
    if (patches > FSFM_PATCHES_MAX)
        return fail_key(places, fsfm_places_later(places, "model.img_size", "model.patch_size"), err,
                        "expected at most %d patches an image, found %" PRId64, FSFM_PATCHES_MAX, patches);
    if (fsfm_mask_budget((int)patches, settings->mask.ratio) >= patches)
        return fail_key(places, "mask.ratio", err,
                        "expected at least one visible patch of %" PRId64 ", found none", patches);
    if (settings->mask.patch_threshold >= model->patch_size * model->patch_size)
        return fail_key(places, "mask.patch_threshold", err,
                        "expected less than the %" PRId64 " pixels of a patch, found %" PRId64,
                        model->patch_size * model->patch_size, settings->mask.patch_threshold);
    return FSFM_OK;
}

static fsfm_status check_batch(const fsfm_places *places, const fsfm_train_options *train, fsfm_error *err)
{
    const int64_t global = train->global_batch, micro = train->micro_batch, slices = train->slices;
    if (micro != FSFM_AUTO && global % micro != 0) {
        const char *key = fsfm_places_later(places, "train.micro_batch", "train.global_batch");
        if (strcmp(key, "train.micro_batch") == 0)
            return fail_key(places, key, err,
                            "expected a divisor of train.global_batch (%" PRId64 "), found %" PRId64, global,
                            micro);
        return fail_key(places, key, err,
                        "expected a multiple of train.micro_batch (%" PRId64 "), found %" PRId64, micro,
                        global);
    }
    if ((slices & (slices - 1)) != 0)
        return fail_key(places, "train.slices", err, "expected a power of two, found %" PRId64, slices);
    if (train->reduction == FSFM_REDUCTION_EXACT && global % slices != 0) {
        const char *key = fsfm_places_later(places, "train.global_batch", "train.slices");
        if (strcmp(key, "train.slices") == 0)
            return fail_key(places, key, err,
                            "expected a divisor of train.global_batch (%" PRId64 "), found %" PRId64, global,
                            slices);
        return fail_key(places, key, err,
                        "expected a multiple of train.slices (%" PRId64
                        ") for train.reduction exact, found %" PRId64,
                        slices, global);
    }
    return FSFM_OK;
}

fsfm_status fsfm_settings_check(const fsfm_places *places, fsfm_settings *settings, char warning[256],
                                fsfm_error *err)
{
    const fsfm_train_options *train = &settings->train;
    FSFM_TRY(check_model(places, settings, err));
    FSFM_TRY(check_batch(places, train, err));
    if (settings->data.path[0] && settings->data.sources.count > 0)
        return fail_both(places, "data.path", "data.sources", err);
    if (train->eval_path[0] && train->eval_share > 0)
        return fail_both(places, "eval.path", "eval.share", err);
    if (settings->model.warmup_epochs >= train->epochs)
        snprintf(warning, 256,
                 "optim.warmup_epochs (%g) is not less than train.epochs (%g): the learning rate only rises "
                 "and never "
                 "reaches its peak",
                 settings->model.warmup_epochs, train->epochs);
    return FSFM_OK;
}
