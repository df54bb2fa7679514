/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/dataset.h"
#include "io/file.h"
#include "jobs/inspect/inspect.h"

enum { BAD_MAX = 1000, PATH_SIZE = 4096 };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void describe_kind(const inspection *in, const fsfm_shard_kind *kind)
{
    inspect_int(in, "image_size", kind->size);
    inspect_text(in, "encoding", kind->encoding == FSFM_ENCODING_RAW ? "raw" : "jpeg");
    inspect_text(in, "label_scheme", kind->has_regions ? kind->label_scheme : "none (no maps)");
    inspect_text(in, "labels", kind->has_labels ? "label, group, domain, frame" : "none");
}

/* The line of one damaged sample: its id, and what the reader says of it. */
static fsfm_status name_damage(inspection *in, const char *path, const fsfm_shard_layout *layout, int fd,
                               int64_t index, fsfm_error *err)
{
    fsfm_error reason, id_error;
    fsfm_stored_sample sample = {0};
    char *id = NULL;
    if (fsfm_shard_read_strings(path, "id", index, 1, &id, &id_error) != FSFM_OK) id = NULL;
    fsfm_status st = fsfm_shard_pread(fd, layout, index, NULL, &sample, &reason);
    fsfm_stored_sample_free(&sample);
    const char *what = strstr(reason.message, ": ");
    st = inspect_damage(in, err, "%s: sample %" PRId64 " (id '%s'): %s", base_name(path), index,
                        id ? id : "cannot be read",
                        st == FSFM_OK ? "checksum did not match once, but does now"
                        : what        ? what + 2
                                      : reason.message);
    free(id);
    return st;
}

/* Adds a line for every damaged sample. */
static fsfm_status verify_samples(inspection *in, const char *path, const fsfm_shard_layout *layout,
                                  fsfm_error *err)
{
    fsfm_error reason;
    int64_t *bad = malloc(BAD_MAX * sizeof *bad), bad_count = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    fsfm_status st = FSFM_OK;
    if (!bad)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a list of samples");
    else if (fd < 0)
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    else if (fsfm_shard_verify(path, bad, BAD_MAX, &bad_count, &reason) != FSFM_OK)
        st = inspect_damage(in, err, "%s: checksums cannot be computed: %s", base_name(path), reason.message);
    for (int64_t i = 0; st == FSFM_OK && i < bad_count && i < BAD_MAX; i++)
        st = name_damage(in, path, layout, fd, bad[i], err);
    if (st == FSFM_OK && bad_count > BAD_MAX)
        st = inspect_damage(in, err, "%s: checksums of %" PRId64 " more samples do not match",
                            base_name(path), bad_count - BAD_MAX);
    if (fd >= 0) close(fd);
    free(bad);
    return st;
}

fsfm_status inspect_shard(inspection *in, const char *path, fsfm_error *err)
{
    fsfm_shard_layout layout;
    fsfm_shard_record record;
    char hex[24];
    uint64_t sum = 0;
    FSFM_TRY(fsfm_shard_read_layout(path, &layout, err));
    FSFM_TRY(fsfm_shard_read_record(path, &record, err));
    inspect_text(in, "kind", "shard");
    inspect_text(in, "format", FSFM_SHARD_FORMAT);
    inspect_int(in, "samples", layout.count);
    describe_kind(in, &layout.kind);
    inspect_int(in, "bytes", (int64_t)layout.file_bytes);
    inspect_int(in, "quarantined", record.quarantine_count);
    fsfm_shard_record_free(&record);
    FSFM_TRY(fsfm_shard_checksum(path, &sum, err));
    snprintf(hex, sizeof hex, "%016" PRIx64, sum);
    inspect_text(in, "xxh3", hex);
    return in->verify ? verify_samples(in, path, &layout, err) : FSFM_OK;
}

/* One shard of a dataset against its entry. What is wrong with it is damage, not a failure. */
static fsfm_status verify_shard(inspection *in, const char *folder, const fsfm_dataset_card *card, int64_t s,
                                fsfm_error *err)
{
    const fsfm_dataset_shard *shard = &card->shards[s];
    fsfm_error reason;
    fsfm_shard_layout layout;
    char path[PATH_SIZE];
    uint64_t sum = 0;
    FSFM_TRY(fsfm_path_join(path, sizeof path, folder, shard->file, err));
    if (fsfm_shard_read_layout(path, &layout, &reason) != FSFM_OK)
        return inspect_damage(in, err, "%s: cannot be opened, its checksums not computed: %s", shard->file,
                              reason.message);
    if (layout.count != shard->count)
        return inspect_damage(in, err,
                              "%s: has %" PRId64 " samples, dataset.yaml says %" PRId64 " (another checksum)",
                              shard->file, layout.count, shard->count);
    if (fsfm_shard_checksum(path, &sum, &reason) != FSFM_OK)
        FSFM_TRY(inspect_damage(in, err, "%s: checksum cannot be computed: %s", shard->file, reason.message));
    else if (sum != shard->xxh3)
        FSFM_TRY(inspect_damage(in, err, "%s: checksum of its list of samples is not the one in dataset.yaml",
                                shard->file));
    return verify_samples(in, path, &layout, err);
}

static fsfm_status list_shards(inspection *in, const char *folder, const fsfm_dataset_card *card,
                               fsfm_error *err)
{
    char hex[24];
    if (in->json) fsfm_json_list_begin(in->json, "shards");
    for (int64_t s = 0; s < card->shard_count; s++) {
        const fsfm_dataset_shard *shard = &card->shards[s];
        snprintf(hex, sizeof hex, "%016" PRIx64, shard->xxh3);
        const int64_t damaged_before = in->damaged_count;
        if (in->verify) FSFM_TRY(verify_shard(in, folder, card, s, err));
        const bool is_good = in->damaged_count == damaged_before;
        if (in->json) {
            fsfm_json_object_begin(in->json, NULL);
            fsfm_json_text(in->json, "file", shard->file);
            fsfm_json_int(in->json, "samples", shard->count);
            fsfm_json_text(in->json, "xxh3", hex);
            if (in->verify) fsfm_json_bool(in->json, "ok", is_good);
            fsfm_json_object_end(in->json);
        } else {
            printf("  %s  %" PRId64 " samples, xxh3 %s%s\n", shard->file, shard->count, hex,
                   !in->verify ? ""
                   : is_good   ? ", ok"
                               : ", DAMAGED");
        }
    }
    if (in->json) fsfm_json_list_end(in->json);
    return FSFM_OK;
}

static void list_quarantine(const inspection *in, const fsfm_dataset_card *card)
{
    if (in->json) {
        fsfm_json_list_begin(in->json, "quarantine");
        for (int64_t i = 0; i < card->quarantine_count; i++)
            fsfm_json_text(in->json, NULL, card->quarantine[i]);
        fsfm_json_list_end(in->json);
        return;
    }
    inspect_int(in, "quarantined", card->quarantine_count);
    for (int64_t i = 0; i < card->quarantine_count; i++) printf("  %s\n", card->quarantine[i]);
}

fsfm_status inspect_dataset(inspection *in, const char *folder, fsfm_error *err)
{
    fsfm_dataset_card card;
    char hex[24];
    FSFM_TRY(fsfm_dataset_card_read(folder, &card, err));
    snprintf(hex, sizeof hex, "%016" PRIx64, card.xxh3);
    inspect_text(in, "kind", "dataset");
    inspect_text(in, "format", "fsfm-dataset-1");
    inspect_int(in, "samples", card.count);
    describe_kind(in, &card.kind);
    inspect_rgb(in, "mean", card.mean);
    inspect_rgb(in, "std", card.std);
    inspect_text(in, "checksum", hex);
    inspect_int(in, "shard_count", card.shard_count);
    fsfm_status st = list_shards(in, folder, &card, err);
    if (st == FSFM_OK) list_quarantine(in, &card);
    fsfm_dataset_card_free(&card);
    return st;
}
