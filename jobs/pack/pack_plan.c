/* SPDX-License-Identifier: Apache-2.0
 * Which sources go into which shard. Cut from the sorted list by source size, so that the shards do not
 * depend on ranks. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "io/file.h"
#include "jobs/pack/pack.h"

/* The last part of OUT's path: the default domain. */
static void pack_name(const char *out, char name[256])
{
    size_t end = strlen(out);
    while (end > 1 && out[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && out[start - 1] != '/') start--;
    snprintf(name, 256, "%.*s", (int)(end - start), out + start);
}

/* Collective: rank 0's list for all. */
static fsfm_status share_list(fsfm_comm *comm, pack_list *list, fsfm_error *err)
{
    const bool is_root = fsfm_comm_rank(comm) == 0;
    pack_source *sources = is_root ? list->sources : NULL;
    char *text = is_root ? list->text : NULL;
    fsfm_status st = FSFM_OK;
    if (fsfm_comm_size(comm) == 1) return FSFM_OK;
    fsfm_comm_broadcast(comm, list, (int64_t)sizeof *list, 0);
    if (!is_root) {
        list->room = list->count;
        list->text_room = list->text_bytes;
        sources = malloc((size_t)list->count * sizeof *sources);
        text = malloc(list->text_bytes);
        if (!sources || !text)
            st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a list of %" PRId64 " files", list->count);
    }
    list->sources = sources;
    list->text = text;
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    fsfm_comm_broadcast(comm, list->sources, list->count * (int64_t)sizeof *sources, 0);
    fsfm_comm_broadcast(comm, list->text, (int64_t)list->text_bytes, 0);
    return FSFM_OK;
}

fsfm_status pack_file_path(const char *root, const char *path, char out[PACK_PATH_SIZE])
{
    const int length = path[0] == '/' ? snprintf(out, PACK_PATH_SIZE, "%s", path)
                                      : snprintf(out, PACK_PATH_SIZE, "%s/%s", root, path);
    return length < PACK_PATH_SIZE ? FSFM_OK : FSFM_ERR_ARG;
}

/* Size and time of last change of a file; 0 where it cannot be looked at (reading it will say why). */
static void look_at(const char *root, const char *path, int64_t *bytes, int64_t *changed_ns)
{
    char full[PACK_PATH_SIZE];
    struct stat info;
    if (pack_file_path(root, path, full) != FSFM_OK || stat(full, &info) != 0) return;
    const int64_t ns = (int64_t)info.st_ctim.tv_sec * 1000000000 + info.st_ctim.tv_nsec;
    *bytes = info.st_size;
    if (ns > *changed_ns) *changed_ns = ns;
}

/* Collective: each rank looks at its part of the files. facts (count, 3): bytes of image, of map, time of
 * change. */
static void share_facts(fsfm_comm *comm, pack_list *list, int64_t *facts)
{
    const int rank = fsfm_comm_rank(comm), ranks = fsfm_comm_size(comm);
    for (int64_t i = rank; i < list->count; i += ranks) {
        const pack_source *source = &list->sources[i];
        look_at(list->root, pack_text(list, source->path), &facts[i * 3], &facts[i * 3 + 2]);
        if (source->map_kind != PACK_MAP_NONE)
            look_at(list->maps_root, pack_text(list, source->map), &facts[i * 3 + 1], &facts[i * 3 + 2]);
    }
    fsfm_comm_sum_i64(comm, facts, list->count * 3);
    for (int64_t i = 0; i < list->count; i++) {
        list->sources[i].image_bytes = (uint64_t)facts[i * 3];
        list->sources[i].map_bytes = (uint64_t)facts[i * 3 + 1];
    }
}

static uint64_t source_bytes(const pack_plan *plan, const pack_source *source)
{
    const uint64_t side = (uint64_t)plan->options->size;
    return plan->options->encoding == FSFM_ENCODING_RAW ? side * side * 3 : source->image_bytes;
}

static fsfm_status cut_shards(pack_plan *plan, const int64_t *facts, fsfm_error *err)
{
    const uint64_t limit = (uint64_t)plan->options->shard_mib << 20;
    int64_t room = 0;
    for (int64_t i = 0; i < plan->list.count; i++) {
        const uint64_t bytes = source_bytes(plan, &plan->list.sources[i]);
        pack_shard *shard = plan->shard_count ? &plan->shards[plan->shard_count - 1] : NULL;
        if (!shard || (shard->source_bytes + bytes > limit && shard->source_bytes > 0)) {
            if (plan->shard_count == room) {
                room = room ? room * 2 : 64;
                shard = realloc(plan->shards, (size_t)room * sizeof *shard);
                if (!shard) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " shards", room);
                plan->shards = shard;
            }
            shard = &plan->shards[plan->shard_count++];
            *shard = (pack_shard){.first = i};
        }
        shard->count++;
        shard->source_bytes += bytes;
        if (facts[i * 3 + 2] > shard->newest_ns) shard->newest_ns = facts[i * 3 + 2];
    }
    return FSFM_OK;
}

static void hash_text(XXH3_state_t *state, const char *text)
{
    XXH3_64bits_update(state, text, strlen(text) + 1);
}

/* What a shard's bytes depend on, but for what is in the files. */
static void hash_plan(const pack_plan *plan, pack_shard *shard, XXH3_state_t *state)
{
    const pack_options *options = plan->options;
    const int64_t head[] = {options->size, options->encoding, PACK_JPEG_QUALITY, plan->list.has_maps,
                            plan->list.has_labels};
    XXH3_64bits_reset(state);
    hash_text(state, FSFM_SHARD_FORMAT " pack 1");
    XXH3_64bits_update(state, head, sizeof head);
    if (plan->list.has_maps) {
        hash_text(state, options->scheme.name);
        XXH3_64bits_update(state, options->scheme.to_lapa, sizeof options->scheme.to_lapa);
    }
    for (int64_t i = shard->first; i < shard->first + shard->count; i++) {
        const pack_source *source = &plan->list.sources[i];
        const int64_t numbers[] = {(int64_t)source->image_bytes,
                                   source->map_kind,
                                   (int64_t)source->map_bytes,
                                   source->label,
                                   source->frame,
                                   source->is_duplicate};
        hash_text(state, pack_text(&plan->list, source->path));
        XXH3_64bits_update(state, numbers, sizeof numbers);
        if (!plan->list.has_labels) continue;
        hash_text(state, pack_text(&plan->list, source->group));
        hash_text(state, pack_text(&plan->list, source->domain));
    }
    shard->plan_xxh3 = XXH3_64bits_digest(state);
}

/* Whether the shard stands there, of this plan, and younger than its sources. */
static bool is_done(const pack_plan *plan, int64_t s)
{
    char path[PACK_PATH_SIZE];
    struct stat info;
    fsfm_error err;
    fsfm_shard_layout layout;
    fsfm_shard_record record;
    if (pack_shard_path(plan->options, s, path, &err) != FSFM_OK || stat(path, &info) != 0) return false;
    if (fsfm_shard_read_layout(path, &layout, &err) != FSFM_OK) return false;
    if (fsfm_shard_read_record(path, &record, &err) != FSFM_OK) return false;
    const int64_t written_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    const bool done = record.plan_xxh3 == plan->shards[s].plan_xxh3 && written_ns > plan->shards[s].newest_ns;
    fsfm_shard_record_free(&record);
    return done;
}

/* Collective: each rank looks at its part of the shards. */
static fsfm_status find_done(fsfm_comm *comm, pack_plan *plan, fsfm_error *err)
{
    int64_t *done = calloc((size_t)plan->shard_count + 1, sizeof *done);
    fsfm_status st =
        done ? FSFM_OK
             : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " shards", plan->shard_count);
    st = fsfm_comm_agree(comm, st, err);
    if (st == FSFM_OK) {
        for (int64_t s = fsfm_comm_rank(comm); s < plan->shard_count; s += fsfm_comm_size(comm))
            done[s] = is_done(plan, s);
        fsfm_comm_sum_i64(comm, done, plan->shard_count);
        for (int64_t s = 0; s < plan->shard_count; s++) plan->shards[s].is_done = done[s] != 0;
    }
    free(done);
    return st;
}

static fsfm_status finish_plan(pack_plan *plan, const int64_t *facts, fsfm_error *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a checksum");
    fsfm_status st = cut_shards(plan, facts, err);
    for (int64_t s = 0; st == FSFM_OK && s < plan->shard_count; s++) hash_plan(plan, &plan->shards[s], state);
    XXH3_freeState(state);
    return st;
}

fsfm_status pack_plan_make(fsfm_comm *comm, const pack_options *options, pack_plan *out, fsfm_error *err)
{
    char name[256];
    int64_t *facts = NULL;
    fsfm_status st = FSFM_OK;
    memset(out, 0, sizeof *out);
    out->options = options;
    pack_name(options->out, name);
    if (fsfm_comm_rank(comm) == 0) st = pack_scan(options->in, name, &out->list, err);
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) goto done;
    if ((st = share_list(comm, &out->list, err)) != FSFM_OK) goto done;
    facts = calloc((size_t)out->list.count * 3 + 1, sizeof *facts);
    if (!facts)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a list of %" PRId64 " files", out->list.count);
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) goto done;
    share_facts(comm, &out->list, facts);
    out->kind = (fsfm_shard_kind){.size = (int)options->size,
                                  .encoding = options->encoding,
                                  .has_regions = out->list.has_maps,
                                  .has_labels = out->list.has_labels};
    if (out->list.has_maps)
        memcpy(out->kind.label_scheme, options->scheme.name, sizeof out->kind.label_scheme);
    st = fsfm_comm_agree(comm, finish_plan(out, facts, err), err);
    if (st == FSFM_OK) st = find_done(comm, out, err);
done:
    free(facts);
    if (st != FSFM_OK) pack_plan_free(out);
    return st;
}

void pack_plan_free(pack_plan *plan)
{
    pack_list_free(&plan->list);
    free(plan->shards);
    memset(plan, 0, sizeof *plan);
}

fsfm_status pack_shard_path(const pack_options *options, int64_t shard, char out[PACK_PATH_SIZE],
                            fsfm_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "shard-%05" PRId64 ".h5", shard);
    return fsfm_path_join(out, PACK_PATH_SIZE, options->out, name, err);
}

uint64_t pack_shard_bytes(const pack_plan *plan, const pack_shard *shard)
{
    const uint64_t side16 = (uint64_t)plan->kind.size / 16, side14 = (uint64_t)plan->kind.size / 14;
    /* A deflated map of a face takes 2 to 5 KiB at 224 pixels. */
    const uint64_t map = 2 * (side16 * side16 + side14 * side14) + (uint64_t)plan->kind.size * 16;
    return shard->source_bytes + (uint64_t)shard->count * (128 + (plan->kind.has_regions ? map : 0)) + 65536;
}
