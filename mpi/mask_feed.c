/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/mask_feed.h"

#include "core/base/random.h"
#include "core/mask/strategy.h"

fsfm_status fsfm_mask_feed_make(const fsfm_mask_options *options, uint64_t seed, int size, int patch,
                                bool is_evaluation, fsfm_dataset *const *sources, int source_count,
                                fsfm_mask_feed *out, fsfm_error *err)
{
    const int across = patch > 0 ? size / patch : 0;
    if (across < 1 || size % patch != 0 || across * across > FSFM_PATCHES_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "images of %d pixels in patches of %d, expected 1 to %d whole patches", size, patch,
                         FSFM_PATCHES_MAX);
    for (int i = 0; i < source_count; i++)
        if (fsfm_mask_needs_regions(options->strategy) &&
            !fsfm_dataset_describe(sources[i])->kind.has_regions)
            return fsfm_fail(
                err, FSFM_ERR_ARG,
                "%s has no parsing maps, which mask.strategy %s needs (pack it with maps, or take "
                "mask.strategy=%s)",
                fsfm_dataset_folder(sources[i]), fsfm_mask_strategy_names[options->strategy],
                fsfm_mask_strategy_names[FSFM_MASK_RANDOM]);
    *out = (fsfm_mask_feed){
        .options = *options,
        .seed = seed,
        .size = size,
        .patch = patch,
        .patches = across * across,
        .budget = fsfm_mask_budget(across * across, options->ratio),
        .is_evaluation = is_evaluation,
    };
    return FSFM_OK;
}

bool fsfm_mask_feed_wants_map(const fsfm_mask_feed *feed)
{
    return feed->options.patch_threshold > 0 && fsfm_mask_needs_regions(feed->options.strategy);
}

static void draw(const fsfm_mask_feed *feed, const fsfm_sample_ref *ref, fsfm_random_purpose purpose,
                 const uint16_t *bits, uint8_t *mask, uint8_t *region)
{
    const bool by_group = feed->options.region_scope == FSFM_REGION_SCOPE_BATCH && !feed->is_evaluation;
    const int64_t group = ref->position / feed->options.region_group;
    const int forced = by_group ? fsfm_mask_batch_region(feed->seed, ref->step, group) : FSFM_REGION_NONE;
    const uint32_t pass = feed->is_evaluation ? 0 : ref->place.pass;
    fsfm_random random = fsfm_random_stream(feed->seed, purpose, pass, fsfm_place_key(ref->place));
    fsfm_mask_draw(feed->options.strategy, feed->patches, feed->budget, bits, forced, &random, mask, region);
}

void fsfm_mask_feed_draw(void *context, const fsfm_sample_ref *ref, const uint16_t *bits, const uint8_t *map,
                         uint8_t *mask, uint8_t *region, uint8_t *target_mask)
{
    const fsfm_mask_feed *feed = context;
    uint16_t from_map[FSFM_PATCHES_MAX];
    uint8_t target_region[FSFM_PATCHES_MAX]; /* drawn with the mask; no loss needs it */
    if (map && fsfm_mask_needs_regions(feed->options.strategy)) {
        fsfm_regions_from_map(map, feed->size, feed->patch, (int)feed->options.patch_threshold, from_map);
        bits = from_map;
    }
    draw(feed, ref, feed->is_evaluation ? FSFM_RANDOM_EVAL_MASK : FSFM_RANDOM_MASK, bits, mask, region);
    if (target_mask) draw(feed, ref, FSFM_RANDOM_TARGET_MASK, bits, target_mask, target_region);
}
