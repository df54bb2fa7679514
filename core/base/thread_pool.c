/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* How often a thread looks for new work before it sleeps: a step hands out work every few microseconds. */
enum { SPIN_LOOKS = 4000 };

struct fsfm_thread_pool {
    int threads;
    bool may_spin; /* more threads than processors: spinning would take time from those that work */
    pthread_t *workers;
    pthread_mutex_t lock;
    pthread_cond_t work_came, work_done;
    fsfm_piece_fn fn;
    void *context;
    int64_t pieces;
    _Atomic int64_t next_piece;
    _Atomic uint64_t round; /* counts calls of run; a change wakes the workers */
    _Atomic int busy;       /* workers not yet done with this round */
    bool stopping;
};

typedef struct {
    fsfm_thread_pool *pool;
    int thread;
} worker_start;

static void pause_briefly(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static void take_pieces(fsfm_thread_pool *pool, int thread)
{
    for (;;) {
        const int64_t piece = atomic_fetch_add_explicit(&pool->next_piece, 1, memory_order_relaxed);
        if (piece >= pool->pieces) return;
        pool->fn(pool->context, piece, thread);
    }
}

static void wait_for_round(fsfm_thread_pool *pool, uint64_t seen)
{
    if (pool->may_spin)
        for (int look = 0; look < SPIN_LOOKS; look++) {
            if (atomic_load_explicit(&pool->round, memory_order_acquire) != seen) return;
            pause_briefly();
        }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->round) == seen) pthread_cond_wait(&pool->work_came, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
    worker_start start = *(worker_start *)argument;
    free(argument);
    fsfm_thread_pool *pool = start.pool;
    uint64_t seen = 0;
    for (;;) {
        wait_for_round(pool, seen);
        seen++; /* rounds come one at a time: run() waits for every worker */
        if (pool->stopping) return NULL;
        take_pieces(pool, start.thread);
        if (atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->work_done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static void begin_round(fsfm_thread_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_store_explicit(&pool->round, atomic_load(&pool->round) + 1, memory_order_release);
    pthread_cond_broadcast(&pool->work_came);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_for_workers(fsfm_thread_pool *pool)
{
    if (pool->may_spin)
        for (int look = 0; look < SPIN_LOOKS; look++) {
            if (atomic_load_explicit(&pool->busy, memory_order_acquire) == 0) return;
            pause_briefly();
        }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->busy) != 0) pthread_cond_wait(&pool->work_done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

/* The workers block every signal: they are for the main thread. */
static fsfm_status start_workers(fsfm_thread_pool *pool, fsfm_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    fsfm_status st = FSFM_OK;
    for (int thread = 1; st == FSFM_OK && thread < pool->threads; thread++) {
        worker_start *start = malloc(sizeof *start);
        if (start) *start = (worker_start){pool, thread};
        const int code = start ? pthread_create(&pool->workers[thread], NULL, worker_main, start) : 0;
        if (!start || code != 0) {
            free(start);
            pool->threads = thread; /* those that run are stopped by the caller */
            st = fsfm_fail(err, FSFM_ERR_MEMORY, "thread %d of the compute pool cannot start: %s", thread,
                           start ? strerror(code) : "out of memory");
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return st;
}

fsfm_status fsfm_thread_pool_start(int threads, fsfm_thread_pool **out, fsfm_error *err)
{
    *out = NULL;
    fsfm_thread_pool *pool = calloc(1, sizeof *pool);
    if (pool) pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    if (!pool || !pool->workers) {
        free(pool);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a pool of %d threads", threads);
    }
    pool->threads = threads;
    pool->may_spin = threads <= fsfm_processors_available();
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work_came, NULL);
    pthread_cond_init(&pool->work_done, NULL);
    const fsfm_status st = start_workers(pool, err);
    if (st != FSFM_OK) fsfm_thread_pool_stop(&pool);
    *out = pool;
    return st;
}

int fsfm_thread_pool_size(const fsfm_thread_pool *pool)
{
    return pool->threads;
}

void fsfm_thread_pool_run(fsfm_thread_pool *pool, int64_t pieces, fsfm_piece_fn fn, void *context)
{
    if (pool->threads == 1 || pieces <= 1) {
        for (int64_t piece = 0; piece < pieces; piece++) fn(context, piece, 0);
        return;
    }
    pool->fn = fn;
    pool->context = context;
    pool->pieces = pieces;
    atomic_store(&pool->next_piece, 0);
    atomic_store(&pool->busy, pool->threads - 1);
    begin_round(pool);
    take_pieces(pool, 0);
    wait_for_workers(pool);
}

void fsfm_thread_pool_stop(fsfm_thread_pool **pool)
{
    fsfm_thread_pool *gone = *pool;
    *pool = NULL;
    if (!gone) return;
    gone->stopping = true;
    begin_round(gone);
    for (int thread = 1; thread < gone->threads; thread++) pthread_join(gone->workers[thread], NULL);
    pthread_cond_destroy(&gone->work_done);
    pthread_cond_destroy(&gone->work_came);
    pthread_mutex_destroy(&gone->lock);
    free(gone->workers);
    free(gone);
}

int fsfm_processors_available(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1; /* over 1,024 processors: the caller may say how many */
    const int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}
