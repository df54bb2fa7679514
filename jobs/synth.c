/* SPDX-License-Identifier: Apache-2.0
 * fsfm synth: drawn faces with exact label maps, or real and fake ones. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/thread_pool.h"
#include "io/file.h"
#include "io/image.h"
#include "jobs/command.h"
#include "jobs/synth/blend.h"

enum { SIDE_MIN = 32, SIDE_MAX = 2048, COUNT_MAX = 100000000, PATH_SIZE = 4096, FACES_A_ROUND = 16 };

/* What one thread draws with. */
typedef struct {
    fsfm_synth_canvas canvas, other;
    float *share;
    uint8_t *pixels, *labels; /* (size, size, 3), (size, size) */
    fsfm_error err;           /* of its first face that failed */
} brush;

typedef struct {
    const char *folder;
    int64_t count, first; /* first: of this round */
    int size;
    uint64_t seed;
    bool is_labelled;
    brush *brushes;
    fsfm_log log;
    double start_s;
} synth_job;

static void brush_free(brush *b)
{
    fsfm_synth_canvas_free(&b->canvas);
    fsfm_synth_canvas_free(&b->other);
    free(b->share);
    free(b->pixels);
    free(b->labels);
}

static fsfm_status brush_make(int size, bool is_labelled, brush *b, fsfm_error *err)
{
    const size_t area = (size_t)size * (size_t)size;
    FSFM_TRY(fsfm_synth_canvas_create(size, &b->canvas, err));
    if (is_labelled) FSFM_TRY(fsfm_synth_canvas_create(size, &b->other, err));
    b->share = malloc(area * sizeof *b->share);
    b->pixels = malloc(area * 3);
    b->labels = malloc(area);
    if (b->share && b->pixels && b->labels) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to draw faces of %d pixels", size);
}

/* Writes bytes to OUT/subfolder/face-NNNNNN.ending and frees them. */
static fsfm_status write_file(const synth_job *job, const char *subfolder, int64_t index, const char *ending,
                              uint8_t *bytes, size_t size_bytes, fsfm_error *err)
{
    char path[PATH_SIZE];
    fsfm_status st = FSFM_OK;
    if (snprintf(path, sizeof path, "%s/%s/face-%06" PRId64 ".%s", job->folder, subfolder, index, ending) >=
        PATH_SIZE)
        st = fsfm_fail(err, FSFM_ERR_ARG, "OUT is a path of more than %d bytes", PATH_SIZE - 64);
    else
        st = fsfm_file_write(path, bytes, size_bytes, err);
    free(bytes);
    return st;
}

static fsfm_status write_picture(const synth_job *job, const fsfm_synth_face *face, brush *b,
                                 const char *subfolder, int64_t index, fsfm_error *err)
{
    uint8_t *bytes;
    size_t size_bytes;
    const fsfm_image image = {job->size, job->size, 3, b->pixels};
    fsfm_synth_face_develop(face, &b->canvas, b->pixels);
    FSFM_TRY(fsfm_image_encode_png(&image, &bytes, &size_bytes, err));
    return write_file(job, subfolder, index, "png", bytes, size_bytes, err);
}

static fsfm_status write_mapped(const synth_job *job, int64_t index, brush *b, fsfm_error *err)
{
    fsfm_synth_face face;
    uint8_t *bytes;
    size_t size_bytes;
    const fsfm_image map = {job->size, job->size, 1, b->canvas.label};
    fsfm_synth_face_choose(job->seed, 0, (uint64_t)index, &face);
    fsfm_synth_face_draw(&face, &b->canvas);
    FSFM_TRY(write_picture(job, &face, b, "images", index, err));
    FSFM_TRY(fsfm_map_encode_npy(&map, &bytes, &size_bytes, err));
    return write_file(job, "parsing_maps", index, "npy", bytes, size_bytes, err);
}

/* Even numbers are real, odd ones fake; each kind is numbered from 0. */
static fsfm_status write_labelled(const synth_job *job, int64_t index, brush *b, fsfm_error *err)
{
    fsfm_synth_face face;
    const bool is_fake = index % 2;
    if (is_fake)
        fsfm_synth_fake_draw(job->seed, (uint64_t)(index / 2), &b->canvas, &b->other, b->share, &face);
    else {
        fsfm_synth_face_choose(job->seed, 1, (uint64_t)(index / 2), &face);
        fsfm_synth_face_draw(&face, &b->canvas);
    }
    return write_picture(job, &face, b, is_fake ? "fake" : "real", index / 2, err);
}

static void draw_piece(void *context, int64_t piece, int thread)
{
    synth_job *job = context;
    brush *b = &job->brushes[thread];
    const int64_t index = job->first + piece;
    if (b->err.status != FSFM_OK) return;
    fsfm_error err;
    const fsfm_status st =
        job->is_labelled ? write_labelled(job, index, b, &err) : write_mapped(job, index, b, &err);
    if (st != FSFM_OK) b->err = err;
}

static void show_progress(synth_job *job, int64_t done)
{
    char left[32];
    const double taken_s = fsfm_clock_monotonic_s() - job->start_s;
    const double rate = (double)done / (taken_s > 0.0 ? taken_s : 1e-9);
    fsfm_log_bar(&job->log, (double)done / (double)job->count,
                 "%" PRId64 " of %" PRId64 " faces, %.0f a second, %s left", done, job->count, rate,
                 fsfm_log_duration((double)(job->count - done) / rate, left));
}

/* In rounds, so that the bar moves and a full disk is noticed soon. */
static fsfm_status draw_all(synth_job *job, fsfm_thread_pool *pool, fsfm_error *err)
{
    const int threads = fsfm_thread_pool_size(pool);
    for (job->first = 0; job->first < job->count; job->first += FACES_A_ROUND * threads) {
        const int64_t left = job->count - job->first, round = FACES_A_ROUND * (int64_t)threads;
        const int64_t pieces = left < round ? left : round;
        fsfm_thread_pool_run(pool, pieces, draw_piece, job);
        for (int thread = 0; thread < threads; thread++)
            if (job->brushes[thread].err.status != FSFM_OK) {
                *err = job->brushes[thread].err;
                return err->status;
            }
        show_progress(job, job->first + pieces);
    }
    return FSFM_OK;
}

static fsfm_status make_folders(const synth_job *job, fsfm_error *err)
{
    const char *const names[2][2] = {{"images", "parsing_maps"}, {"real", "fake"}};
    for (int i = 0; i < 2; i++) {
        char path[PATH_SIZE];
        FSFM_TRY(fsfm_path_join(path, sizeof path, job->folder, names[job->is_labelled][i], err));
        FSFM_TRY(fsfm_folder_make(path, err));
    }
    return FSFM_OK;
}

static fsfm_status run_job(synth_job *job, int threads, fsfm_error *err)
{
    fsfm_thread_pool *pool = NULL;
    char taken[32];
    fsfm_status st = make_folders(job, err);
    job->brushes = calloc((size_t)threads, sizeof *job->brushes);
    if (st == FSFM_OK && !job->brushes)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d threads", threads);
    for (int thread = 0; st == FSFM_OK && thread < threads; thread++)
        st = brush_make(job->size, job->is_labelled, &job->brushes[thread], err);
    if (st == FSFM_OK) st = fsfm_thread_pool_start(threads, &pool, err);
    if (st == FSFM_OK) st = draw_all(job, pool, err);
    if (st == FSFM_OK)
        fsfm_log_line(&job->log, "%s: %" PRId64 " faces of %d x %d pixels, seed %" PRIu64 ", drawn in %s",
                      job->folder, job->count, job->size, job->size, job->seed,
                      fsfm_log_duration(fsfm_clock_monotonic_s() - job->start_s, taken));
    fsfm_thread_pool_stop(&pool);
    for (int thread = 0; job->brushes && thread < threads; thread++) brush_free(&job->brushes[thread]);
    free(job->brushes);
    return st;
}

static fsfm_status parse(int argc, char **argv, synth_job *job, int64_t *threads, fsfm_error *err)
{
    static const char *const valued[] = {"--count", "--size", "--seed", "--threads", NULL};
    static const char *const flags[] = {"--labelled", NULL};
    fsfm_arguments arguments;
    int64_t size = 0, seed = 0;
    FSFM_TRY(fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err));
    if (arguments.word_count != 1 || !fsfm_arguments_get(&arguments, "--count", NULL))
        return fsfm_fail(err, FSFM_ERR_ARG, "usage: fsfm %s", fsfm_command_synth.usage);
    FSFM_TRY(fsfm_arguments_int(&arguments, "--count", 0, 1, COUNT_MAX, &job->count, err));
    FSFM_TRY(fsfm_arguments_int(&arguments, "--size", 224, SIDE_MIN, SIDE_MAX, &size, err));
    FSFM_TRY(fsfm_arguments_int(&arguments, "--seed", 0, 0, INT64_MAX, &seed, err));
    FSFM_TRY(fsfm_arguments_int(&arguments, "--threads", fsfm_processors_available(), 1, 256, threads, err));
    job->folder = arguments.words[0];
    job->size = (int)size;
    job->seed = (uint64_t)seed;
    job->is_labelled = fsfm_arguments_has(&arguments, "--labelled");
    if (!job->folder[0]) return fsfm_fail(err, FSFM_ERR_ARG, "OUT is empty, expected a folder");
    return FSFM_OK;
}

static int run(int argc, char **argv, fsfm_error *err)
{
    synth_job job = {.start_s = fsfm_clock_monotonic_s()};
    int64_t threads = 1;
    fsfm_status st = parse(argc, argv, &job, &threads, err);
    if (st != FSFM_OK) return fsfm_exit_code(st);
    fsfm_log_open(&job.log, stdout);
    st = run_job(&job, (int)threads, err);
    fsfm_log_close(&job.log);
    return fsfm_exit_code(st);
}

const fsfm_command fsfm_command_synth = {
    .name = "synth",
    .usage = "synth OUT --count N [--size 224] [--seed S] [--labelled] [--threads T]",
    .summary = "draw faces with exact label maps, to try everything without data",
    .help =
        "Writes OUT/images/face-NNNNNN.png and OUT/parsing_maps/face-NNNNNN.npy (int8, labels of LaPa-11).\n"
        "A face depends on seed and number alone: a larger N adds faces and leaves the others as they are.\n"
        "Files of the same names are replaced.\n"
        "  --count N     how many pictures\n"
        "  --size P      side in pixels, 32 to 2048 (224)\n"
        "  --seed S      0 or more (0)\n"
        "  --labelled    OUT/real/*.png and OUT/fake/*.png instead, N in all, real and fake in turn; a fake "
        "has\n"
        "                a region of another face blended in\n"
        "  --threads T   drawing threads (all processors)\n",
    .run = run,
};
