/* SPDX-License-Identifier: Apache-2.0
 * The copy's dataset.yaml is written last: where it is, all shards are there. */
#include "io/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/checksum.h"
#include "io/dataset.h"
#include "io/file.h"

enum { PATH_SIZE = 4096, BUFFER_BYTES = 4 << 20 };

static fsfm_status fail_errno(fsfm_error *err, const char *path, const char *what)
{
    return fsfm_fail(err, FSFM_ERR_IO, "%s: %s: %s", path, what, strerror(errno));
}

/* Size of a file, -1 where there is none. */
static int64_t file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

static fsfm_status write_all(int fd, const char *path, const uint8_t *bytes, size_t count, fsfm_error *err)
{
    while (count > 0) {
        const ssize_t done = write(fd, bytes, count);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return fail_errno(err, path, "cannot be written");
        bytes += done;
        count -= (size_t)done;
    }
    return FSFM_OK;
}

/* Reads fd to its end; what is read goes to into as well, where into >= 0. */
static fsfm_status hash_through(int fd, const char *path, int into, const char *into_path, uint64_t *hash,
                                fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    uint8_t *buffer = malloc(BUFFER_BYTES);
    XXH3_state_t *state = XXH3_createState();
    if (!buffer || !state) {
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory to copy it", path);
        goto done;
    }
    XXH3_64bits_reset(state);
    for (;;) {
        const ssize_t got = read(fd, buffer, BUFFER_BYTES);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) st = fail_errno(err, path, "cannot be read");
        if (got <= 0) break;
        fsfm_checksum_update(state, buffer, (size_t)got);
        if (into >= 0 && (st = write_all(into, into_path, buffer, (size_t)got, err)) != FSFM_OK) break;
    }
    *hash = XXH3_64bits_digest(state);
done:
    XXH3_freeState(state);
    free(buffer);
    return st;
}

/* Copies, then reads the copy back from the disk. */
static fsfm_status copy_file(const char *from, const char *to, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    uint64_t wrote = 0, found = 0;
    int out = -1;
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return fail_errno(err, from, "cannot be opened");
    if ((out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) < 0) {
        st = fail_errno(err, to, "cannot be created");
        goto done;
    }
    if ((st = hash_through(in, from, out, to, &wrote, err)) != FSFM_OK) goto done;
    if (fsync(out) != 0 || lseek(out, 0, SEEK_SET) != 0) {
        st = fail_errno(err, to, "cannot be written");
        goto done;
    }
    posix_fadvise(out, 0, 0, POSIX_FADV_DONTNEED); /* so that the disk is asked, not the page cache */
    if ((st = hash_through(out, to, -1, NULL, &found, err)) != FSFM_OK) goto done;
    if (found != wrote)
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: reads back other than it was written (is the disk sound?)", to);
done:
    if (out >= 0) close(out);
    close(in);
    return st;
}

static fsfm_status stage_shard(const fsfm_dataset_shard *shard, const char *from, const char *to,
                               fsfm_error *err)
{
    char partial[PATH_SIZE];
    uint64_t xxh3 = 0;
    if (snprintf(partial, sizeof partial, "%s.partial", to) >= (int)sizeof partial)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: the path is too long", to);
    fsfm_status st = copy_file(from, partial, err);
    if (st == FSFM_OK) st = fsfm_shard_checksum(partial, &xxh3, err);
    if (st == FSFM_OK && xxh3 != shard->xxh3)
        st = fsfm_fail(err, FSFM_ERR_FORMAT,
                       "%s: checksum %016" PRIx64 ", but dataset.yaml says %016" PRIx64
                       " (was the dataset packed anew?)",
                       from, xxh3, shard->xxh3);
    if (st == FSFM_OK && rename(partial, to) != 0) st = fail_errno(err, to, "cannot be renamed into");
    if (st != FSFM_OK) unlink(partial);
    return st;
}

/* Bytes of the shards that the copy lacks. */
static fsfm_status missing_bytes(const fsfm_dataset_card *card, const char *folder, const char *copy,
                                 uint64_t *missing, fsfm_error *err)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    *missing = 0;
    for (int64_t i = 0; i < card->shard_count; i++) {
        FSFM_TRY(fsfm_path_join(from, sizeof from, folder, card->shards[i].file, err));
        FSFM_TRY(fsfm_path_join(to, sizeof to, copy, card->shards[i].file, err));
        const int64_t bytes = file_bytes(from);
        if (bytes < 0) return fail_errno(err, from, "cannot be examined");
        if (file_bytes(to) != bytes) *missing += (uint64_t)bytes;
    }
    return FSFM_OK;
}

static fsfm_status copy_missing(const fsfm_dataset_card *card, const char *folder, const char *copy,
                                fsfm_error *err)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    for (int64_t i = 0; i < card->shard_count; i++) {
        FSFM_TRY(fsfm_path_join(from, sizeof from, folder, card->shards[i].file, err));
        FSFM_TRY(fsfm_path_join(to, sizeof to, copy, card->shards[i].file, err));
        if (file_bytes(to) != file_bytes(from)) FSFM_TRY(stage_shard(&card->shards[i], from, to, err));
    }
    return fsfm_folder_sync(copy, err);
}

/* Called by the one process of the node that holds the lock. */
static fsfm_status complete_copy(const fsfm_dataset_card *card, const char *folder, const char *copy,
                                 fsfm_error *err)
{
    char from[PATH_SIZE], mark[PATH_SIZE];
    uint64_t missing = 0, free_bytes = 0;
    uint8_t *yaml = NULL;
    size_t yaml_bytes = 0;
    FSFM_TRY(fsfm_folder_make(copy, err));
    FSFM_TRY(fsfm_path_join(from, sizeof from, folder, "dataset.yaml", err));
    FSFM_TRY(fsfm_path_join(mark, sizeof mark, copy, "dataset.yaml", err));
    FSFM_TRY(missing_bytes(card, folder, copy, &missing, err));
    if (missing == 0 && fsfm_file_exists(mark)) return FSFM_OK;
    FSFM_TRY(fsfm_folder_free_bytes(copy, &free_bytes, err));
    if (missing > free_bytes)
        return fsfm_fail(err, FSFM_ERR_IO,
                         "%s: %" PRIu64 " MiB are needed for the copy of %s, %" PRIu64
                         " MiB are free (data.stage: \"\" reads it where it is)",
                         copy, (missing >> 20) + 1, folder, free_bytes >> 20);
    FSFM_TRY(copy_missing(card, folder, copy, err));
    FSFM_TRY(fsfm_file_read(from, &yaml, &yaml_bytes, err));
    const fsfm_status st = fsfm_file_write(mark, yaml, yaml_bytes, err);
    free(yaml);
    return st;
}

static fsfm_status take_lock(const char *path, int *fd, fsfm_error *err)
{
    if ((*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        return fail_errno(err, path, "cannot be created");
    while (flock(*fd, LOCK_EX) != 0)
        if (errno != EINTR) return fail_errno(err, path, "cannot be locked");
    return FSFM_OK;
}

fsfm_status fsfm_stage_dataset(const char *folder, const char *stage, char *out, size_t size_bytes,
                               fsfm_error *err)
{
    char name[64], lock[PATH_SIZE];
    fsfm_dataset_card card;
    int fd = -1;
    FSFM_TRY(fsfm_dataset_card_read(folder, &card, err));
    snprintf(name, sizeof name, "dataset-%016" PRIx64 ".lock", card.xxh3);
    fsfm_status st = fsfm_folder_make(stage, err);
    if (st == FSFM_OK) st = fsfm_path_join(lock, sizeof lock, stage, name, err);
    *strrchr(name, '.') = 0;
    if (st == FSFM_OK) st = fsfm_path_join(out, size_bytes, stage, name, err);
    if (st == FSFM_OK) st = take_lock(lock, &fd, err);
    if (st == FSFM_OK) st = complete_copy(&card, folder, out, err);
    if (fd >= 0) close(fd); /* gives the lock back */
    fsfm_dataset_card_free(&card);
    return st;
}
