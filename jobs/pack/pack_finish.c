/* SPDX-License-Identifier: Apache-2.0
 * What rank 0 does around the packing of shards: making room before, and dataset.yaml after. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/dataset.h"
#include "io/file.h"
#include "jobs/pack/pack.h"

enum { SHOWN_MAX = 10 };

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Number of a shard file's name, or -1. */
static int64_t shard_number(const char *name)
{
    int64_t number = -1;
    char again[64];
    if (sscanf(name, "shard-%" SCNd64 ".h5", &number) != 1 || number < 0) return -1;
    snprintf(again, sizeof again, "shard-%05" PRId64 ".h5", number);
    return strcmp(again, name) == 0 ? number : -1;
}

/* Removes what a pack that was stopped left unfinished, and shards from first_shard on. */
static fsfm_status clean(const char *out, int64_t first_shard, fsfm_error *err)
{
    char path[PACK_PATH_SIZE];
    DIR *dir = opendir(out);
    if (!dir) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be listed: %s", out, strerror(errno));
    fsfm_status st = FSFM_OK;
    for (struct dirent *entry; st == FSFM_OK && (entry = readdir(dir));) {
        const bool is_stale =
            strncmp(entry->d_name, ".shard-", 7) == 0 || shard_number(entry->d_name) >= first_shard;
        if (!is_stale) continue;
        st = fsfm_path_join(path, sizeof path, out, entry->d_name, err);
        if (st == FSFM_OK && unlink(path) != 0 && errno != ENOENT)
            st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
    }
    closedir(dir);
    return st;
}

/* A shard is on the disk twice while it is put together, one per rank at a time. */
static uint64_t space_needed(const pack_plan *plan, int ranks)
{
    uint64_t total = 0, largest = 0;
    int64_t todo = 0;
    for (int64_t s = 0; s < plan->shard_count; s++) {
        if (plan->shards[s].is_done) continue;
        const uint64_t bytes = pack_shard_bytes(plan, &plan->shards[s]);
        total += bytes;
        if (bytes > largest) largest = bytes;
        todo++;
    }
    return total + largest * (uint64_t)(todo < ranks ? todo : ranks);
}

static fsfm_status check_space(const pack_plan *plan, int ranks, fsfm_error *err)
{
    uint64_t free_bytes = 0;
    const uint64_t needed = space_needed(plan, ranks);
    FSFM_TRY(fsfm_folder_free_bytes(plan->options->out, &free_bytes, err));
    if (needed <= free_bytes) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_IO,
                     "%s: not enough disk space: about %.1f MiB are needed while packing, %.1f MiB are free",
                     plan->options->out, mib(needed), mib(free_bytes));
}

fsfm_status pack_prepare(const pack_plan *plan, int ranks, fsfm_error *err)
{
    char card[PACK_PATH_SIZE];
    const char *out = plan->options->out;
    const bool was_there = fsfm_file_exists(out);
    bool has_work = false;
    for (int64_t s = 0; s < plan->shard_count; s++) has_work = has_work || !plan->shards[s].is_done;
    FSFM_TRY(fsfm_folder_make(out, err));
    fsfm_status st = clean(out, INT64_MAX, err);
    if (st == FSFM_OK && has_work) st = check_space(plan, ranks, err);
    if (st == FSFM_OK) st = fsfm_path_join(card, sizeof card, out, "dataset.yaml", err);
    /* Until the last shard is there the folder is no dataset. */
    if (st == FSFM_OK && has_work && unlink(card) != 0 && errno != ENOENT)
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be removed: %s", card, strerror(errno));
    if (st != FSFM_OK && !was_there) rmdir(out);
    return st;
}

void pack_announce(const pack_plan *plan, fsfm_log *log)
{
    uint64_t all = 0, todo = 0;
    int64_t kept = 0;
    for (int64_t s = 0; s < plan->shard_count; s++) {
        const uint64_t bytes = pack_shard_bytes(plan, &plan->shards[s]);
        all += bytes;
        if (plan->shards[s].is_done)
            kept++;
        else
            todo += bytes;
    }
    if (plan->list.note[0]) fsfm_log_line(log, "note: %s", plan->list.note);
    fsfm_log_line(log,
                  "%s: %" PRId64 " images%s%s%s, %d x %d, %s -> %s: about %.1f MiB in %" PRId64 " shard%s",
                  plan->list.root, plan->list.count, plan->kind.has_regions ? " with maps of " : "",
                  plan->kind.label_scheme, plan->kind.has_labels ? " with labels" : "", plan->kind.size,
                  plan->kind.size, plan->kind.encoding == FSFM_ENCODING_RAW ? "raw" : "jpeg",
                  plan->options->out, mib(all), plan->shard_count, plan->shard_count == 1 ? "" : "s");
    if (kept > 0)
        fsfm_log_line(log, "%" PRId64 " of them %s there already; about %.1f MiB to write", kept,
                      kept == 1 ? "is" : "are", mib(todo));
}

/* Moves the record's lines to the card's list. */
static fsfm_status take_quarantine(fsfm_dataset_card *card, fsfm_shard_record *record, fsfm_error *err)
{
    const int64_t count = card->quarantine_count + record->quarantine_count;
    char **grown = realloc(card->quarantine, (size_t)(count + 1) * sizeof *grown);
    if (!grown) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the quarantine list");
    card->quarantine = grown;
    for (int64_t i = 0; i < record->quarantine_count; i++)
        grown[card->quarantine_count++] = record->quarantine[i];
    record->quarantine_count = 0;
    return FSFM_OK;
}

static fsfm_status take_shard(const pack_plan *plan, int64_t s, fsfm_dataset_card *card,
                              fsfm_pixel_sums *sums, uint64_t *bytes, fsfm_error *err)
{
    char path[PACK_PATH_SIZE];
    fsfm_shard_layout layout;
    fsfm_shard_record record;
    fsfm_dataset_shard *shard = &card->shards[s];
    FSFM_TRY(pack_shard_path(plan->options, s, path, err));
    snprintf(shard->file, sizeof shard->file, "shard-%05" PRId64 ".h5", s);
    FSFM_TRY(fsfm_shard_read_layout(path, &layout, err));
    FSFM_TRY(fsfm_shard_checksum(path, &shard->xxh3, err));
    FSFM_TRY(fsfm_shard_read_record(path, &record, err));
    shard->count = layout.count;
    card->count += layout.count;
    *bytes += layout.file_bytes;
    sums->pixels += record.sums.pixels;
    for (int c = 0; c < 3; c++) {
        sums->sum[c] += record.sums.sum[c];
        sums->sum_of_squares[c] += record.sums.sum_of_squares[c];
    }
    fsfm_status st = take_quarantine(card, &record, err);
    fsfm_shard_record_free(&record);
    return st;
}

static void report(const pack_plan *plan, const fsfm_dataset_card *card, uint64_t bytes, fsfm_log *log)
{
    for (int64_t i = 0; i < card->quarantine_count && i < SHOWN_MAX; i++)
        fsfm_log_line(log, "quarantined: %s", card->quarantine[i]);
    if (card->quarantine_count > SHOWN_MAX)
        fsfm_log_line(log, "quarantined: %" PRId64 " more, all of them in %s/dataset.yaml",
                      card->quarantine_count - SHOWN_MAX, plan->options->out);
    fsfm_log_line(log, "%s: %" PRId64 " of %" PRId64 " images in %" PRId64 " shard%s, %.1f MiB",
                  plan->options->out, card->count, plan->list.count, card->shard_count,
                  card->shard_count == 1 ? "" : "s", mib(bytes));
    fsfm_log_line(log, "mean %.4f %.4f %.4f, std %.4f %.4f %.4f", card->mean[0], card->mean[1], card->mean[2],
                  card->std[0], card->std[1], card->std[2]);
}

/* No sample at all is no dataset: the shards go. */
static fsfm_status refuse_empty(const pack_plan *plan, const fsfm_dataset_card *card, fsfm_error *err)
{
    FSFM_TRY(clean(plan->options->out, 0, err));
    rmdir(plan->options->out);
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: no usable image: all %" PRId64 " are bad; the first: %s",
                     plan->list.root, plan->list.count, card->quarantine_count ? card->quarantine[0] : "");
}

static fsfm_status judge(const pack_plan *plan, const fsfm_dataset_card *card, fsfm_error *err)
{
    const double share = (double)card->quarantine_count / (double)plan->list.count;
    if (share <= plan->options->max_bad) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_FORMAT,
                     "%" PRId64 " of %" PRId64
                     " images are bad (%.3g %%, --max-bad allows %.3g %%); %s is whole and usable "
                     "without them, its dataset.yaml lists them; the first: %s",
                     card->quarantine_count, plan->list.count, 100 * share, 100 * plan->options->max_bad,
                     plan->options->out, card->quarantine[0]);
}

fsfm_status pack_finish(const pack_plan *plan, fsfm_log *log, fsfm_error *err)
{
    fsfm_dataset_card card = {.kind = plan->kind, .shard_count = plan->shard_count};
    fsfm_pixel_sums sums = {0};
    uint64_t bytes = 0;
    card.shards = calloc((size_t)plan->shard_count + 1, sizeof *card.shards);
    fsfm_status st = card.shards ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for dataset.yaml");
    for (int64_t s = 0; st == FSFM_OK && s < plan->shard_count; s++)
        st = take_shard(plan, s, &card, &sums, &bytes, err);
    if (st == FSFM_OK && card.count == 0) st = refuse_empty(plan, &card, err);
    if (st == FSFM_OK) st = clean(plan->options->out, plan->shard_count, err);
    if (st == FSFM_OK) {
        fsfm_dataset_statistics(&sums, card.mean, card.std);
        st = fsfm_dataset_card_write(plan->options->out, &card, err);
    }
    if (st == FSFM_OK) {
        report(plan, &card, bytes, log);
        st = judge(plan, &card, err);
    }
    fsfm_dataset_card_free(&card);
    return st;
}
