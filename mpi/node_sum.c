/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/node_sum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/clock.h"

/* A rank's place for a piece of its values: 256 KiB, of which a few fit the caches next to a core. There are
 * two of them, so that a rank may lay its next piece down while others still take the last sum: whoever lays
 * down piece n + 2 has seen all ranks lay down n + 1, and so be done with n. */
enum { PIECE_FLOATS = 1 << 16, PLACES = 2, LINE = 64, LINE_FLOATS = LINE / (int)sizeof(float) };

/* Pieces that a rank has laid down, and whose share it has added up, since the beginning. */
typedef struct {
    _Alignas(LINE) _Atomic uint64_t laid;
    _Alignas(LINE) _Atomic uint64_t added;
} progress;

struct fsfm_node_sum {
    fsfm_comm *comm;
    int rank, ranks;
    uint64_t piece; /* begun so far */
    size_t size_bytes;
    progress *progress; /* (ranks), the beginning of what is shared */
    float *places;      /* (PLACES, ranks, PIECE_FLOATS) */
};

typedef struct {
    const progress *of; /* (ranks) */
    int ranks;
    uint64_t least;
} wanted;

static bool all_have_laid(const void *context)
{
    const wanted *w = context;
    for (int r = 0; r < w->ranks; r++)
        if (atomic_load_explicit(&w->of[r].laid, memory_order_acquire) < w->least) return false;
    return true;
}

static bool all_have_added(const void *context)
{
    const wanted *w = context;
    for (int r = 0; r < w->ranks; r++)
        if (atomic_load_explicit(&w->of[r].added, memory_order_acquire) < w->least) return false;
    return true;
}

uint64_t fsfm_node_sum_bytes(int ranks)
{
    return (uint64_t)ranks * (sizeof(progress) + PLACES * PIECE_FLOATS * sizeof(float));
}

/* code: the errno of the call. */
static fsfm_status cannot_share(const fsfm_node_sum *sum, const char *call, const char *name, int code,
                                fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to share: %s of %s, %zu bytes: %s", call, name,
                     sum->size_bytes, strerror(code));
}

/* Rank 0 makes the memory, of which it is certain that there is enough: pages that are missing later would
 * end the process. */
static fsfm_status make_memory(const fsfm_node_sum *sum, const char *name, int *fd, fsfm_error *err)
{
    *fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (*fd < 0) return cannot_share(sum, "shm_open", name, errno, err);
    const int code = posix_fallocate(*fd, 0, (off_t)sum->size_bytes);
    return code == 0 ? FSFM_OK : cannot_share(sum, "posix_fallocate", name, code, err);
}

static fsfm_status map_memory(fsfm_node_sum *sum, const char *name, int fd, fsfm_error *err)
{
    if (fd < 0 && (fd = shm_open(name, O_RDWR, 0)) < 0)
        return cannot_share(sum, "shm_open", name, errno, err);
    void *memory = mmap(NULL, sum->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const int code = errno;
    close(fd);
    if (memory == MAP_FAILED) return cannot_share(sum, "mmap", name, code, err);
    sum->progress = memory;
    sum->places = (float *)(void *)(sum->progress + sum->ranks);
    return FSFM_OK;
}

/* The name is gone again when all ranks have the memory, or one could not get it. */
static fsfm_status share_memory(fsfm_node_sum *sum, fsfm_error *err)
{
    char name[64] = "";
    int fd = -1;
    fsfm_status st = FSFM_OK;
    if (sum->rank == 0) {
        snprintf(name, sizeof name, "/fsfm-%ld-%.0f", (long)getpid(), 1e9 * fsfm_clock_monotonic_s());
        st = make_memory(sum, name, &fd, err);
    }
    fsfm_comm_broadcast(sum->comm, name, sizeof name, 0);
    if ((st = fsfm_comm_agree(sum->comm, st, err)) == FSFM_OK) {
        st = map_memory(sum, name, fd, err);
        fd = -1;
        st = fsfm_comm_agree(sum->comm, st, err);
    }
    if (fd >= 0) close(fd);
    if (sum->rank == 0) shm_unlink(name);
    return st;
}

fsfm_status fsfm_node_sum_open(fsfm_comm *comm, fsfm_node_sum **out, fsfm_error *err)
{
    int64_t hosts = fsfm_comm_local_size(comm) < fsfm_comm_size(comm);
    fsfm_status st = FSFM_OK;
    *out = NULL;
    fsfm_comm_max_i64(comm, &hosts, 1);
    if (hosts) return fsfm_fail(err, FSFM_ERR_COMM, "the ranks are on several hosts");
    fsfm_node_sum *sum = calloc(1, sizeof *sum);
    if (!sum) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for sums within a host");
    if ((st = fsfm_comm_agree(comm, st, err)) == FSFM_OK) {
        sum->comm = comm;
        sum->rank = fsfm_comm_rank(comm);
        sum->ranks = fsfm_comm_size(comm);
        sum->size_bytes = fsfm_node_sum_bytes(sum->ranks);
        st = share_memory(sum, err);
    }
    if (st == FSFM_OK)
        *out = sum;
    else
        fsfm_node_sum_close(&sum);
    return st;
}

void fsfm_node_sum_close(fsfm_node_sum **sum)
{
    if (!*sum) return;
    if ((*sum)->progress) munmap((*sum)->progress, (*sum)->size_bytes);
    free(*sum);
    *sum = NULL;
}

static void add(float *restrict into, const float *restrict values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) into[i] += values[i];
}

/* The sum comes to lie in the place of rank 0. */
static void sum_piece(fsfm_node_sum *sum, float *values, int64_t count)
{
    float *places = sum->places + (int64_t)(sum->piece % PLACES) * sum->ranks * PIECE_FLOATS;
    progress *mine = &sum->progress[sum->rank];
    const wanted all = {sum->progress, sum->ranks, ++sum->piece};
    const int64_t lines = (count + LINE_FLOATS - 1) / LINE_FLOATS;
    const int64_t share = (lines + sum->ranks - 1) / sum->ranks * LINE_FLOATS, first = share * sum->rank;
    const int64_t left = count > first ? count - first : 0;
    memcpy(places + (int64_t)sum->rank * PIECE_FLOATS, values, (size_t)count * sizeof *values);
    atomic_store_explicit(&mine->laid, all.least, memory_order_release);
    fsfm_comm_await(sum->comm, all_have_laid, &all);
    for (int r = 1; r < sum->ranks && left > 0; r++)
        add(places + first, places + (int64_t)r * PIECE_FLOATS + first, left < share ? left : share);
    atomic_store_explicit(&mine->added, all.least, memory_order_release);
    fsfm_comm_await(sum->comm, all_have_added, &all);
    memcpy(values, places, (size_t)count * sizeof *values);
}

void fsfm_node_sum_float(fsfm_node_sum *sum, float *values, int64_t count)
{
    const double began_s = fsfm_clock_monotonic_s();
    for (int64_t done = 0; done < count; done += PIECE_FLOATS)
        sum_piece(sum, values + done, count - done < PIECE_FLOATS ? count - done : PIECE_FLOATS);
    fsfm_comm_spend(sum->comm, fsfm_clock_monotonic_s() - began_s);
}
