/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/nccl/board.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define VALUES_AT ((size_t)8192)
#define BOARD_BYTES (VALUES_AT + (size_t)BOARD_SEATS * BOARD_FLOATS * sizeof(float))
_Static_assert(sizeof(board) <= VALUES_AT, "seats before values");

bool board_make(board_address *out)
{
    *out = (board_address){.process = (int)getpid(), .file = memfd_create("nccl", MFD_CLOEXEC)};
    return out->file >= 0 && ftruncate(out->file, (off_t)BOARD_BYTES) == 0;
}

board *board_open(const board_address *address)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", address->process, address->file);
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return NULL;
    void *mapped = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    close(file);
    return mapped == MAP_FAILED ? NULL : mapped;
}

void board_close(board *b)
{
    munmap(b, BOARD_BYTES);
}

float *board_values(board *b, int rank)
{
    void *values = (char *)b + VALUES_AT;
    return (float *)values + rank * BOARD_FLOATS;
}
