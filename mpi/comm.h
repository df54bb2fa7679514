/* SPDX-License-Identifier: Apache-2.0
 * mpi/comm.h - the one place that calls MPI.
 *
 * Every function but rank() and size() is collective unless it says otherwise. A rank that cannot reach its
 * peers cannot agree with them either: a failing MPI call prints one line and aborts the whole job. */
#ifndef FSFM_MPI_COMM_H
#define FSFM_MPI_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct fsfm_comm fsfm_comm;

/* Starts MPI (thread level: funneled) when the process was started by a launcher (mpirun, srun), so that a
 * process alone starts in milliseconds; without one the communicator has one rank and calls nothing. Once a
 * process. */
FSFM_MUST_USE
fsfm_status fsfm_comm_start(fsfm_comm **out, fsfm_error *err);
void fsfm_comm_stop(fsfm_comm **comm);
int fsfm_comm_rank(const fsfm_comm *comm);
int fsfm_comm_size(const fsfm_comm *comm);
/* This rank's number among, and the number of, ranks on this host. */
int fsfm_comm_local_rank(const fsfm_comm *comm);
int fsfm_comm_local_size(const fsfm_comm *comm);
/* Not collective, without a communicator: this rank as the launcher's environment says it; 0 without. */
int fsfm_comm_launched_rank(void);
/* Not collective: the name of this host. */
const char *fsfm_comm_host(const fsfm_comm *comm);
/* Not collective: seconds that this rank has spent in MPI so far, for its sums and waiting for other ranks.
 */
double fsfm_comm_spent_s(const fsfm_comm *comm);

/* Not collective: one line about the MPI library; returns out. */
const char *fsfm_comm_library(char *out, size_t size_bytes);

/* All ranks return the same status and message: those of the lowest failing rank. Its message is prefixed by
 * "rank R" where there is more than one rank, and by the host where there are several. */
FSFM_MUST_USE
fsfm_status fsfm_comm_agree(fsfm_comm *comm, fsfm_status mine, fsfm_error *err);

void fsfm_comm_barrier(fsfm_comm *comm);
void fsfm_comm_broadcast(fsfm_comm *comm, void *bytes, int64_t size_bytes, int root);
void fsfm_comm_sum_i64(fsfm_comm *comm, int64_t *values, int64_t count);
void fsfm_comm_max_i64(fsfm_comm *comm, int64_t *values, int64_t count);
void fsfm_comm_max_double(fsfm_comm *comm, double *values, int64_t count);
/* out (size, size_bytes): every rank's bytes, in rank order. */
void fsfm_comm_gather_all(fsfm_comm *comm, const void *mine, int64_t size_bytes, void *out);
/* Sums in the order that MPI likes: equal on all ranks, not over rank counts. */
void fsfm_comm_sum_float(fsfm_comm *comm, float *values, int64_t count);
void fsfm_comm_sum_double(fsfm_comm *comm, double *values, int64_t count);
/* The same of floats as a trial, apart from all other calls: FSFM_ERR_COMM, with MPI's reason, where this
 * rank's part fails. Where it fails on some ranks only the others' may not end. */
FSFM_MUST_USE
fsfm_status fsfm_comm_try_sum_float(fsfm_comm *comm, float *values, int64_t count, fsfm_error *err);
/* The same of fsfm_comm_exchange(), of all ranks, two by two. */
FSFM_MUST_USE
fsfm_status fsfm_comm_try_exchange(fsfm_comm *comm, int peer, const void *mine, void *theirs,
                                   int64_t size_bytes, fsfm_error *err);
/* Not collective: whether the MPI library says that the sums of floats take a GPU's memory, or
 * FSFM_MPI_CUDA=1 in the environment says it. */
bool fsfm_comm_takes_device_memory(void);
/* Sums that run on while the caller computes: at most count_max between two finish(). All ranks begin
 * the same ones in the same order; values stay untouched until they are taken. */
typedef struct fsfm_comm_sums fsfm_comm_sums;
FSFM_MUST_USE
fsfm_status fsfm_comm_sums_open(fsfm_comm *comm, int count_max, fsfm_comm_sums **out, fsfm_error *err);
void fsfm_comm_sums_begin(fsfm_comm_sums *sums, float *values, int64_t count);
void fsfm_comm_sums_progress(fsfm_comm_sums *sums); /* not collective: lets those under way go on */
/* Not collective: whether the first one that was not taken yet is done, and takes it; waits where told to. */
bool fsfm_comm_sums_take(fsfm_comm_sums *sums, bool waits);
void fsfm_comm_sums_finish(fsfm_comm_sums *sums); /* waits for all; none is begun then */
void fsfm_comm_sums_close(fsfm_comm_sums **sums);
/* A question put to all ranks again and again while they compute. Its answer is taken with the next question,
 * so that no rank waits for one that has yet to come to the same one. */
typedef struct fsfm_comm_vote fsfm_comm_vote;
FSFM_MUST_USE
fsfm_status fsfm_comm_vote_open(fsfm_comm *comm, fsfm_comm_vote **out, fsfm_error *err);
/* The largest number that a rank gave the last time (one rank: gives now); 0 where this is the first time. */
int64_t fsfm_comm_vote_next(fsfm_comm_vote *vote, int64_t mine);
void fsfm_comm_vote_end(
    fsfm_comm_vote *vote); /* drops the answer that was not taken; the next time is the first */
void fsfm_comm_vote_close(fsfm_comm_vote **vote); /* accepts NULL */
/* Not collective: waits for other ranks that do without MPI, until has_come says so; MPI goes on meanwhile.
 */
void fsfm_comm_await(fsfm_comm *comm, bool (*has_come)(const void *context), const void *context);
/* Not collective: adds to spent_s() what such sums and waiting take. */
void fsfm_comm_spend(fsfm_comm *comm, double seconds);
/* Not collective: sends mine to peer and receives as much from it. */
void fsfm_comm_exchange(fsfm_comm *comm, int peer, const void *mine, void *theirs, int64_t size_bytes);
/* A rank's word to all others, beside their order of calls: for those that wait for a device that waits for
 * other ranks' devices. Not collective: alarm() gives it, once until alarm_end(); is_alarmed() says whether
 * some other rank has. alarm_end(): no rank is alarmed then. */
void fsfm_comm_alarm(fsfm_comm *comm);
bool fsfm_comm_is_alarmed(fsfm_comm *comm);
void fsfm_comm_alarm_end(fsfm_comm *comm);
/* Not collective: if the process is still there after so long it says so and ends with code. For a rank that
 * has nothing left to do but to stop: where another one is lost by then, that has no end. */
void fsfm_comm_end_within(const fsfm_comm *comm, double seconds, int code);
/* Not collective: ends all ranks with code, at once and without a word; from any thread. */
void fsfm_comm_end(fsfm_comm *comm, int code) __attribute__((noreturn));
/* Not collective, from any thread: how many of this rank's waits for others have ended; *waits: in one now.
 */
int64_t fsfm_comm_calls(const fsfm_comm *comm, bool *waits);
#endif
