/* SPDX-License-Identifier: Apache-2.0
 * tests/support/nccl/board.h - memory that the processes of a group share: a seat and room for values for
 * each of them. It is a file without a name, that of the process which made it, so nothing is left behind. */
#ifndef FSFM_TESTS_NCCL_BOARD_H
#define FSFM_TESTS_NCCL_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BOARD_SEATS = 16 };
/* Memory is taken when it is written. */
#define BOARD_FLOATS ((int64_t)16 << 20)

typedef struct {
    _Atomic int64_t contributed, collected; /* sums to which the process has given, from which it has taken */
    _Atomic int64_t sent[BOARD_SEATS], received[BOARD_SEATS]; /* messages, to and from each other process */
    int64_t count; /* floats of the last sum or message that it gave */
} board_seat;

typedef struct {
    _Atomic int entered; /* processes */
    board_seat seats[BOARD_SEATS];
} board;

/* What another process of this machine finds the board by. */
typedef struct {
    int process, file;
} board_address;

/* Makes a board, which exists while this process does. */
bool board_make(board_address *out);
/* NULL: it is not there any more. */
board *board_open(const board_address *address);
void board_close(board *b);
float *board_values(board *b, int rank);

#endif
