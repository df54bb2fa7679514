/* SPDX-License-Identifier: Apache-2.0
 * mpi/heartbeats.h - what every rank does, told without MPI, so that it arrives while ranks wait for one that
 * hangs.
 *
 * Datagrams (UDP, IPv4) to two ranks that listen: rank 0, and the first rank of another host (rank 1 where
 * there is one host). On one host they go over loopback, else over every interface, or over that which
 * FSFM_INTERFACE names. Used by one thread but for open() and close(). A network that lets none through
 * leaves ranks that were never heard. */
#ifndef FSFM_MPI_HEARTBEATS_H
#define FSFM_MPI_HEARTBEATS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mpi/comm.h"

enum { FSFM_STACK_TEXT = 6000 };

typedef struct {
    int64_t step;
    int64_t calls;    /* waits for other ranks that have ended */
    double stalled_s; /* since anything went on */
    int32_t phase;
    int32_t waits; /* for other ranks, now */
} fsfm_heartbeat;

typedef struct {
    char host[64];
    pid_t process;
} fsfm_heartbeat_place;

typedef struct fsfm_heartbeats fsfm_heartbeats;

/* Collective. The caller owns *out. Fails for want of memory only: without a socket nothing is heard. */
FSFM_MUST_USE
fsfm_status fsfm_heartbeats_open(fsfm_comm *comm, fsfm_heartbeats **out, fsfm_error *err);
void fsfm_heartbeats_close(fsfm_heartbeats **beats); /* accepts NULL */

/* Which of those that listen this rank is: 0 or 1, and -1 for all others. Where 1, the other is rank 0. */
int fsfm_heartbeats_listener(const fsfm_heartbeats *beats);
const fsfm_heartbeat_place *fsfm_heartbeats_place(const fsfm_heartbeats *beats, int rank);

void fsfm_heartbeats_send(fsfm_heartbeats *beats, const fsfm_heartbeat *mine);
/* Takes what arrives for wait_s seconds, or until wake_fd can be read. True at once where a listener asks for
 * this rank's stack. */
bool fsfm_heartbeats_receive(fsfm_heartbeats *beats, int wake_fd, double wait_s);
/* On a rank that listens: what another said last, and how long ago. False: never heard. */
bool fsfm_heartbeats_last(const fsfm_heartbeats *beats, int rank, fsfm_heartbeat *out, double *age_s);

/* Asks a rank that was heard for its stack and waits for it; false: none came. */
bool fsfm_heartbeats_ask_stack(fsfm_heartbeats *beats, int rank, double wait_s, char text[FSFM_STACK_TEXT]);
void fsfm_heartbeats_answer_stack(fsfm_heartbeats *beats, const char *text);
#endif
