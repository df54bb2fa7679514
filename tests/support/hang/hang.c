/* SPDX-License-Identifier: Apache-2.0
 * hang.c - preloaded into a rank: its reads of shards never end once the file FSFM_TEST_HANG exists, as on a
 * disk that is gone. With FSFM_TEST_HANG_END it stops when it leaves MPI, and stays. FSFM_TEST_HANG_RANK:
 * which rank. */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static bool is_rank(void)
{
    const char *wanted = getenv("FSFM_TEST_HANG_RANK"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    return wanted && strcmp(wanted, rank ? rank : "0") == 0;
}

static bool is_shard(int fd)
{
    char link[64], target[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    return strstr(target, "/shard-") != NULL;
}

static void hang_if_told(int fd)
{
    const char *told = getenv("FSFM_TEST_HANG");
    if (!told || !is_rank() || access(told, F_OK) != 0 || !is_shard(fd)) return;
    for (;;) pause();
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset)
{
    static ssize_t (*next)(int, void *, size_t, off_t);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "pread");
    hang_if_told(fd);
    return next(fd, bytes, count, offset);
}

int MPI_Finalize(void);
int MPI_Finalize(void)
{
    int (*next)(void);
    *(void **)&next = dlsym(RTLD_NEXT, "MPI_Finalize");
    if (getenv("FSFM_TEST_HANG_END") && is_rank()) raise(SIGSTOP);
    return next();
}
