/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/shared_folder.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "io/file.h"

enum { PATH_SIZE = 4096, TOKEN_SIZE = 96 };

static const char name[] = ".seen-by-all-ranks";

/* NFS takes a name that it did not find for missing until it looks at the folder again, as it does when one
 * is opened. */
static void refresh(const char *folder)
{
    DIR *opened = opendir(folder);
    if (opened) closedir(opened);
}

static bool holds(const char *path, const char *token)
{
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    const bool is_same = fsfm_file_read(path, &bytes, &size_bytes, NULL) == FSFM_OK &&
                         size_bytes == strlen(token) && memcmp(bytes, token, size_bytes) == 0;
    free(bytes);
    return is_same;
}

static bool appears(const char *folder, const char *path, const char *token, double timeout_s)
{
    const double end_s = fsfm_clock_monotonic_s() + timeout_s;
    struct timespec pause = {0, 10 * 1000 * 1000};
    while (!holds(path, token)) {
        if (fsfm_clock_monotonic_s() >= end_s) return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 400 * 1000 * 1000) pause.tv_nsec *= 2;
        refresh(folder);
    }
    return true;
}

fsfm_status fsfm_shared_folder_check(fsfm_comm *comm, const char *folder, double timeout_s, fsfm_error *err)
{
    char path[PATH_SIZE], token[TOKEN_SIZE] = "", host[64];
    const bool is_first = fsfm_comm_rank(comm) == 0;
    if (fsfm_comm_size(comm) == 1) return FSFM_OK;
    fsfm_status st = fsfm_path_join(path, sizeof path, folder, name, err);
    if (is_first && st == FSFM_OK) {
        snprintf(token, sizeof token, "%s %ld %.6f\n", fsfm_comm_host(comm), (long)getpid(),
                 fsfm_clock_unix_s());
        st = fsfm_file_write(path, token, strlen(token), err);
    }
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    fsfm_comm_broadcast(comm, token, sizeof token, 0);
    snprintf(host, sizeof host, "%s", fsfm_comm_host(comm));
    fsfm_comm_broadcast(comm, host, sizeof host, 0);
    if (!is_first && !appears(folder, path, token, timeout_s))
        st = fsfm_fail(err, FSFM_ERR_IO,
                       "%.200s on %s is not the folder that rank 0 on %s writes to; expected one that all "
                       "hosts share",
                       folder, fsfm_comm_host(comm), host);
    st = fsfm_comm_agree(comm, st, err);
    if (is_first) unlink(path);
    return st;
}
