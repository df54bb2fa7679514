/* SPDX-License-Identifier: Apache-2.0 */
#include "io/metrics_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

/* The longest record is the start of a run: names of its hosts. */
enum { RECORD_BYTES_MAX = 1 << 20 };

struct fsfm_metrics_file {
    char *path;
    int fd;
    pthread_mutex_t lock; /* from begin to end */
    char *line;           /* RECORD_BYTES_MAX */
    FILE *stream;         /* onto line */
    fsfm_json json;
    bool is_rare; /* the record is none of those that come every few steps */
};

fsfm_status fsfm_metrics_file_open(const char *path, fsfm_metrics_start start, fsfm_metrics_file **out,
                                   fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    *out = NULL;
    FSFM_TRY(fsfm_metrics_cut(path, start, err));
    fsfm_metrics_file *file = calloc(1, sizeof *file);
    if (!file) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory", path);
    pthread_mutex_init(&file->lock, NULL);
    file->fd = -1;
    file->path = strdup(path);
    file->line = malloc(RECORD_BYTES_MAX);
    if (!file->path || !file->line || !(file->stream = fmemopen(file->line, RECORD_BYTES_MAX, "w")))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory", path);
    else if ((file->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0)
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    if (st == FSFM_OK)
        *out = file;
    else
        fsfm_metrics_file_close(&file);
    return st;
}

fsfm_json *fsfm_metrics_file_begin(fsfm_metrics_file *file, const char *kind, int64_t step)
{
    pthread_mutex_lock(&file->lock);
    __fpurge(file->stream); /* what a record that was too long left behind */
    rewind(file->stream);
    file->is_rare = strcmp(kind, "train") != 0;
    file->json = (fsfm_json){.stream = file->stream, .needs_comma = false};
    fsfm_json_object_begin(&file->json, NULL);
    fsfm_json_text(&file->json, "kind", kind);
    fsfm_json_int(&file->json, "step", step);
    fsfm_json_real(&file->json, "time", fsfm_clock_unix_s());
    return &file->json;
}

/* A line whose writing fails is taken back, so that the file stays one of whole lines. */
static fsfm_status append(fsfm_metrics_file *file, size_t size_bytes, fsfm_error *err)
{
    const off_t before = lseek(file->fd, 0, SEEK_END);
    for (size_t done = 0; done < size_bytes;) {
        const ssize_t n = write(file->fd, file->line + done, size_bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            fsfm_fail(err, FSFM_ERR_IO, "%s: cannot write: %s", file->path, strerror(errno));
            if (before < 0 || ftruncate(file->fd, before) != 0) fsfm_context(err, "its last line is broken");
            return FSFM_ERR_IO;
        }
        done += (size_t)n;
    }
    /* Before a checkpoint is trusted, the records up to it must last. */
    if (file->is_rare && fdatasync(file->fd) != 0 && errno != EINVAL)
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot write: %s", file->path, strerror(errno));
    return FSFM_OK;
}

fsfm_status fsfm_metrics_file_end(fsfm_metrics_file *file, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    fsfm_json_object_end(&file->json);
    fputc('\n', file->stream);
    const bool fits = fflush(file->stream) == 0 && !ferror(file->stream);
    const long size_bytes = ftell(file->stream);
    if (!fits || size_bytes <= 0)
        st = fsfm_fail(err, FSFM_ERR_ARG, "%s: a record is longer than %d bytes", file->path,
                       RECORD_BYTES_MAX);
    else
        st = append(file, (size_t)size_bytes, err);
    clearerr(file->stream);
    pthread_mutex_unlock(&file->lock);
    return st;
}

void fsfm_metrics_file_drop(fsfm_metrics_file *file)
{
    pthread_mutex_unlock(&file->lock);
}

void fsfm_metrics_file_close(fsfm_metrics_file **file)
{
    fsfm_metrics_file *f = *file;
    if (!f) return;
    if (f->stream) fclose(f->stream);
    if (f->fd >= 0) close(f->fd);
    pthread_mutex_destroy(&f->lock);
    free(f->line);
    free(f->path);
    free(f);
    *file = NULL;
}
