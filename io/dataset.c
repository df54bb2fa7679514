/* SPDX-License-Identifier: Apache-2.0
 * The shards of a dataset as one array. A shard is opened to be checked, or when a sample of it is first
 * asked for, and stays open; its tables are loaded when that first sample comes, as a start must not take
 * longer for more samples. Reading takes no lock after that. */
#include "io/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/file.h"

enum { PATH_SIZE = 4096 };
/* Memory for the shards' small tables (24 bytes a sample and a little: 2 million samples). Shards that come
 * after it is used up read them from the file, sample by sample. */
#define TABLES_BYTES_MAX ((uint64_t)48 << 20)

typedef enum {
    CLOSED,
    OPEN /* fd and layout are there */,
    READY /* and tables, if there is memory */
} shard_stage;

typedef struct {
    _Atomic shard_stage stage;
    int fd;
    fsfm_shard_layout layout;
    fsfm_shard_tables tables; /* where layout.tables points, if it does */
    int64_t first;            /* index of its first sample */
} open_shard;

struct fsfm_dataset {
    char *folder;
    fsfm_dataset_card card;
    open_shard *shards; /* (card.shard_count) */
    _Atomic int64_t opens;
    uint64_t tables_bytes; /* of all shards, under the lock */
    pthread_mutex_t opening;
};

fsfm_status fsfm_dataset_open(const char *folder, fsfm_dataset **out, fsfm_error *err)
{
    *out = NULL;
    fsfm_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for a dataset", folder);
    pthread_mutex_init(&dataset->opening, NULL);
    fsfm_status st = fsfm_dataset_card_read(folder, &dataset->card, err);
    if (st == FSFM_OK &&
        (!(dataset->folder = strdup(folder)) ||
         !(dataset->shards = calloc((size_t)dataset->card.shard_count + 1, sizeof *dataset->shards))))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for a dataset", folder);
    int64_t first = 0;
    for (int64_t s = 0; st == FSFM_OK && s < dataset->card.shard_count; s++) {
        atomic_init(&dataset->shards[s].stage, CLOSED);
        dataset->shards[s].first = first;
        first += dataset->card.shards[s].count;
    }
    if (st != FSFM_OK) fsfm_dataset_close(&dataset);
    *out = dataset;
    return st;
}

void fsfm_dataset_close(fsfm_dataset **dataset)
{
    fsfm_dataset *d = *dataset;
    *dataset = NULL;
    if (!d) return;
    for (int64_t s = 0; d->shards && s < d->card.shard_count; s++) {
        if (atomic_load(&d->shards[s].stage) != CLOSED) close(d->shards[s].fd);
        fsfm_shard_tables_free(&d->shards[s].tables);
    }
    pthread_mutex_destroy(&d->opening);
    fsfm_dataset_card_free(&d->card);
    free(d->shards);
    free(d->folder);
    free(d);
}

const fsfm_dataset_card *fsfm_dataset_describe(const fsfm_dataset *dataset)
{
    return &dataset->card;
}

const char *fsfm_dataset_folder(const fsfm_dataset *dataset)
{
    return dataset->folder;
}

int64_t fsfm_dataset_opens(const fsfm_dataset *dataset)
{
    return atomic_load(&dataset->opens);
}

static fsfm_status compare(const fsfm_shard_layout *found, const fsfm_dataset_card *card, int64_t s,
                           fsfm_error *err)
{
    const fsfm_shard_kind *a = &found->kind, *b = &card->kind;
    if (found->count != card->shards[s].count)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "has %" PRId64 " samples, dataset.yaml says %" PRId64,
                         found->count, card->shards[s].count);
    if (a->size != b->size || a->encoding != b->encoding || a->has_regions != b->has_regions ||
        a->has_labels != b->has_labels || strcmp(a->label_scheme, b->label_scheme) != 0)
        return fsfm_fail(
            err, FSFM_ERR_FORMAT,
            "is of another kind (image size, encoding, label scheme, maps or labels) than dataset.yaml says");
    return FSFM_OK;
}

static fsfm_status open_descriptor(const char *path, int64_t opens, int *fd, fsfm_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0) return FSFM_OK;
    if (errno != EMFILE && errno != ENFILE)
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    return fsfm_fail(err, FSFM_ERR_IO,
                     "%s: too many open files: %" PRId64 " shards are open and the limit is %" PRIu64
                     " (raise it with 'ulimit -n', or pack with a larger --shard-mib)",
                     path, opens, (uint64_t)limit.rlim_cur);
}

/* Under the dataset's lock. The descriptor comes first, as HDF5 needs one as well and says less when it gets
 * none. */
static fsfm_status open_now(fsfm_dataset *dataset, open_shard *shard, int64_t s, const char *path,
                            fsfm_error *err)
{
    int fd = -1;
    FSFM_TRY(open_descriptor(path, atomic_load(&dataset->opens), &fd, err));
    fsfm_status st = fsfm_shard_read_layout(path, &shard->layout, err);
    if (st == FSFM_OK && compare(&shard->layout, &dataset->card, s, err) != FSFM_OK)
        st = fsfm_context(err, "%s", path);
    if (st != FSFM_OK) {
        close(fd);
        return st;
    }
    shard->fd = fd;
    atomic_fetch_add(&dataset->opens, 1);
    atomic_store_explicit(&shard->stage, OPEN, memory_order_release);
    return FSFM_OK;
}

uint64_t fsfm_dataset_memory_bytes(const fsfm_shard_kind *kind, int64_t count)
{
    const fsfm_shard_layout layout = {.count = count,
                                      .image_offset = kind->encoding == FSFM_ENCODING_JPEG,
                                      .map_offset = kind->has_regions,
                                      .label = kind->has_labels}; /* not 0: the table is there */
    const uint64_t bytes = fsfm_shard_tables_bytes(&layout);
    return bytes < TABLES_BYTES_MAX ? bytes : TABLES_BYTES_MAX;
}

/* Under the dataset's lock. */
static fsfm_status load_tables(fsfm_dataset *dataset, open_shard *shard, const char *path, fsfm_error *err)
{
    const uint64_t bytes = fsfm_shard_tables_bytes(&shard->layout);
    if (dataset->tables_bytes + bytes <= TABLES_BYTES_MAX) {
        if (fsfm_shard_tables_load(shard->fd, &shard->layout, &shard->tables, err) != FSFM_OK)
            return fsfm_context(err, "%s", path);
        dataset->tables_bytes += bytes;
        shard->layout.tables = &shard->tables;
    }
    atomic_store_explicit(&shard->stage, READY, memory_order_release);
    return FSFM_OK;
}

/* Brings shard s to a stage; no lock where it is there. */
static fsfm_status reach(fsfm_dataset *dataset, int64_t s, shard_stage wanted, fsfm_error *err)
{
    char path[PATH_SIZE];
    open_shard *shard = &dataset->shards[s];
    if (atomic_load_explicit(&shard->stage, memory_order_acquire) >= wanted) return FSFM_OK;
    FSFM_TRY(fsfm_path_join(path, sizeof path, dataset->folder, dataset->card.shards[s].file, err));
    pthread_mutex_lock(&dataset->opening);
    fsfm_status st = FSFM_OK;
    if (atomic_load(&shard->stage) < OPEN) st = open_now(dataset, shard, s, path, err);
    if (st == FSFM_OK && wanted == READY && atomic_load(&shard->stage) < READY)
        st = load_tables(dataset, shard, path, err);
    pthread_mutex_unlock(&dataset->opening);
    return st;
}

fsfm_status fsfm_dataset_check_shards(fsfm_dataset *dataset, int64_t first, int64_t stride, fsfm_error *err)
{
    FSFM_ASSERT(first >= 0 && stride >= 1);
    for (int64_t s = first; s < dataset->card.shard_count; s += stride)
        FSFM_TRY(reach(dataset, s, OPEN, err));
    return FSFM_OK;
}

/* The last shard that begins at or before index: that one has it, empty shards before it begin there too. */
static int64_t find_shard(const fsfm_dataset *dataset, int64_t index)
{
    int64_t low = 0, high = dataset->card.shard_count;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (dataset->shards[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static fsfm_status reach_sample(fsfm_dataset *dataset, int64_t index, shard_stage wanted, int64_t *s,
                                fsfm_error *err)
{
    if (index < 0 || index >= dataset->card.count)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: sample %" PRId64 " does not exist, there are %" PRId64,
                         dataset->folder, index, dataset->card.count);
    *s = find_shard(dataset, index);
    return reach(dataset, *s, wanted, err);
}

fsfm_status fsfm_dataset_read(fsfm_dataset *dataset, int64_t index, uint8_t *image_into,
                              fsfm_stored_sample *out, fsfm_error *err)
{
    int64_t s = 0;
    FSFM_TRY(reach_sample(dataset, index, READY, &s, err));
    const open_shard *shard = &dataset->shards[s];
    if (fsfm_shard_pread(shard->fd, &shard->layout, index - shard->first, image_into, out, err) == FSFM_OK)
        return FSFM_OK;
    return fsfm_context(err, "%s/%s", dataset->folder, dataset->card.shards[s].file);
}

fsfm_status fsfm_dataset_locate(fsfm_dataset *dataset, int64_t index, fsfm_stored_place *out, fsfm_error *err)
{
    int64_t s = 0;
    FSFM_TRY(reach_sample(dataset, index, READY, &s, err));
    const open_shard *shard = &dataset->shards[s];
    if (fsfm_shard_locate(shard->fd, &shard->layout, index - shard->first, out, err) == FSFM_OK)
        return FSFM_OK;
    return fsfm_context(err, "%s/%s", dataset->folder, dataset->card.shards[s].file);
}

fsfm_status fsfm_dataset_id(fsfm_dataset *dataset, int64_t index, char **out, fsfm_error *err)
{
    char path[PATH_SIZE];
    int64_t s = 0;
    *out = NULL;
    FSFM_TRY(reach_sample(dataset, index, OPEN, &s, err));
    FSFM_TRY(fsfm_path_join(path, sizeof path, dataset->folder, dataset->card.shards[s].file, err));
    return fsfm_shard_read_strings(path, "id", index - dataset->shards[s].first, 1, out, err);
}
