/* SPDX-License-Identifier: Apache-2.0
 * fsfm pack: a folder of faces (or a table) becomes a packed dataset. Every rank packs whole shards. */
#include "jobs/pack/pack.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "jobs/command.h"

enum { THREADS_MAX = 64 };

static fsfm_status parse(int argc, char **argv, pack_options *out, fsfm_error *err)
{
    static const char *const valued[] = {"--encoding", "--labels",  "--shard-mib",
                                         "--size",     "--max-bad", NULL};
    static const char *const flags[] = {NULL};
    fsfm_arguments *arguments = calloc(1, sizeof *arguments);
    if (!arguments) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for arguments");
    fsfm_status st = fsfm_arguments_parse(argc, argv, valued, flags, arguments, err);
    if (st == FSFM_OK && arguments->word_count != 2)
        st = fsfm_fail(err, FSFM_ERR_ARG, "pack: expected IN and OUT, found %d words (fsfm pack --help)",
                       arguments->word_count);
    if (st == FSFM_OK) {
        out->in = arguments->words[0];
        out->out = arguments->words[1];
        const char *encoding = fsfm_arguments_get(arguments, "--encoding", "raw");
        out->encoding = strcmp(encoding, "jpeg") == 0 ? FSFM_ENCODING_JPEG : FSFM_ENCODING_RAW;
        if (strcmp(encoding, "jpeg") != 0 && strcmp(encoding, "raw") != 0)
            st = fsfm_fail(err, FSFM_ERR_ARG, "--encoding: expected raw or jpeg, found '%s'", encoding);
    }
    if (st == FSFM_OK)
        st = fsfm_arguments_int(arguments, "--shard-mib", 1024, 1, 1 << 20, &out->shard_mib, err);
    if (st == FSFM_OK) st = fsfm_arguments_int(arguments, "--size", 224, 16, 512, &out->size, err);
    if (st == FSFM_OK) st = fsfm_arguments_real(arguments, "--max-bad", 0.01, 0.0, 1.0, &out->max_bad, err);
    if (st == FSFM_OK)
        st = fsfm_label_scheme_load(fsfm_arguments_get(arguments, "--labels", "lapa11"), &out->scheme, err);
    free(arguments);
    return st;
}

/* How far rank 0 is in its own share: the others' are as large. */
typedef struct {
    fsfm_log *log;
    int64_t done, total;
    int ranks;
    double start_s;
} progress;

static void show_progress(void *context, int64_t samples)
{
    progress *p = context;
    char left[32];
    p->done += samples;
    const double share = p->total ? (double)p->done / (double)p->total : 1.0;
    const double elapsed_s = fsfm_clock_monotonic_s() - p->start_s;
    fsfm_log_bar(p->log, share, "%3.0f %%, %.0f images/s, %s left", 100 * share,
                 elapsed_s > 0 ? (double)p->done * p->ranks / elapsed_s : 0.0,
                 fsfm_log_duration(share > 0 ? elapsed_s * (1 - share) / share : 0, left));
}

/* Collective. The shards that are wanted, in rounds of one per rank, so that an error ends all of them soon.
 */
static fsfm_status pack_shards(fsfm_comm *comm, const pack_plan *plan, fsfm_thread_pool *pool, fsfm_log *log,
                               fsfm_error *err)
{
    const int rank = fsfm_comm_rank(comm), ranks = fsfm_comm_size(comm);
    progress shown = {log, 0, 0, ranks, fsfm_clock_monotonic_s()};
    int64_t turn = 0, mine = -1;
    for (int64_t s = 0; s < plan->shard_count; s++)
        if (!plan->shards[s].is_done && turn++ % ranks == rank) shown.total += plan->shards[s].count;
    turn = 0;
    for (int64_t s = 0; s < plan->shard_count; s++) {
        if (!plan->shards[s].is_done && turn++ % ranks == rank) mine = s;
        const bool ends_round =
            s == plan->shard_count - 1 || (turn > 0 && turn % ranks == 0 && !plan->shards[s].is_done);
        if (!ends_round) continue;
        fsfm_status st = FSFM_OK;
        if (mine >= 0) st = pack_one_shard(plan, mine, pool, show_progress, &shown, err);
        mine = -1;
        FSFM_TRY(fsfm_comm_agree(comm, st, err));
    }
    return FSFM_OK;
}

static int thread_count(const fsfm_comm *comm)
{
    const int threads = fsfm_processors_available() / fsfm_comm_local_size(comm);
    return threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
}

/* Collective; the same status on all ranks. */
static fsfm_status pack(fsfm_comm *comm, const pack_options *options, fsfm_log *log, fsfm_error *err)
{
    pack_plan plan;
    fsfm_thread_pool *pool = NULL;
    const bool is_root = fsfm_comm_rank(comm) == 0;
    FSFM_TRY(pack_plan_make(comm, options, &plan, err));
    fsfm_status st = FSFM_OK;
    if (is_root) {
        pack_announce(&plan, log);
        st = pack_prepare(&plan, fsfm_comm_size(comm), err);
    }
    if (st == FSFM_OK) st = fsfm_thread_pool_start(thread_count(comm), &pool, err);
    st = fsfm_comm_agree(comm, st, err);
    if (st == FSFM_OK) st = pack_shards(comm, &plan, pool, log, err);
    if (st == FSFM_OK) {
        if (is_root) st = pack_finish(&plan, log, err);
        st = fsfm_comm_agree(comm, st, err);
    }
    fsfm_thread_pool_stop(&pool);
    pack_plan_free(&plan);
    return st;
}

static int run(int argc, char **argv, fsfm_error *err)
{
    fsfm_comm *comm = NULL;
    fsfm_log log;
    pack_options options = {0};
    fsfm_status st = fsfm_comm_start(&comm, err);
    if (st != FSFM_OK) return fsfm_exit_code(st);
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error of write() like a full disk */
    const bool is_root = fsfm_comm_rank(comm) == 0;
    fsfm_log_open(&log, is_root ? stdout : NULL);
    st = fsfm_command_alike(comm, err);
    if (st == FSFM_OK) st = fsfm_comm_agree(comm, parse(argc, argv, &options, err), err);
    if (st == FSFM_OK) st = pack(comm, &options, &log, err);
    if (!is_root) err->message[0] = '\0'; /* rank 0 has it too, and prints it */
    fsfm_log_close(&log);
    if (st != FSFM_OK) fsfm_command_print_error(err);
    fsfm_comm_stop(&comm);
    return fsfm_exit_code(st);
}

const fsfm_command fsfm_command_pack = {
    .name = "pack",
    .usage = "pack IN OUT [--encoding raw|jpeg] [--labels lapa11|celebamaskhq19|FILE.yaml] [--shard-mib N] "
             "[--size N] "
             "[--max-bad SHARE]",
    .summary = "pack a folder of faces, with parsing maps or labels, into HDF5 shards",
    .help =
        "IN is a folder: images are .png, .jpg and .jpeg below IN/images (or IN), maps are .npy and .png "
        "below\n"
        "IN/parsing_maps with the same relative path. Where all images lie in folders whose names begin with "
        "real, live\n"
        "(1) or fake, spoof (0), they are packed with these labels. Or IN is a table: "
        "path,label[,group][,domain][,frame].\n"
        "OUT gets shard-00000.h5 ... and dataset.yaml. An interrupted pack goes on where it was, and packing "
        "a changed\n"
        "source again redoes what changed. Under mpirun every rank packs a part; the bytes are the same.\n"
        "\n"
        "  --encoding raw|jpeg  raw pixels (the default), or JPEG files: those of the right size as they "
        "are, others at\n"
        "                       quality 95, 4:4:4\n"
        "  --labels SCHEME      what the maps' values mean: lapa11 (the default), celebamaskhq19, or a YAML "
        "file\n"
        "                       {name: NAME, map: {VALUE: LABEL, ...}}, LABEL one of LaPa-11's, by number or "
        "name\n"
        "  --shard-mib N        source data per shard, MiB (1024)\n"
        "  --size N             pixels of a side, 16 to 512 (224); other images are cropped to a central "
        "square and resized\n"
        "  --max-bad SHARE      exit with 1 if more than this share of the images is bad (0.01); the dataset "
        "is written\n"
        "                       either way and its dataset.yaml names each bad file and why\n",
    .run = run,
};
