/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/environment.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/thread_pool.h"
#include "mpi/alike.h"
#include "mpi/memory_limit.h"

typedef struct {
    char host[64];
    cpu_set_t processors;
} rank_processors;

/* Ranks on this host that may use the very same processors as this one, itself included. */
static fsfm_status count_sharers(fsfm_comm *comm, int *sharers, fsfm_error *err)
{
    const int ranks = fsfm_comm_size(comm);
    rank_processors mine, *all = calloc((size_t)ranks, sizeof *all);
    fsfm_status st = all ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d ranks", ranks);
    *sharers = 0;
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) {
        free(all);
        return st;
    }
    memset(&mine, 0, sizeof mine);
    snprintf(mine.host, sizeof mine.host, "%s", fsfm_comm_host(comm));
    sched_getaffinity(0, sizeof mine.processors, &mine.processors);
    fsfm_comm_gather_all(comm, &mine, (int64_t)sizeof mine, all);
    for (int r = 0; r < ranks; r++)
        if (strcmp(all[r].host, mine.host) == 0 && CPU_EQUAL(&all[r].processors, &mine.processors))
            ++*sharers;
    free(all);
    return FSFM_OK;
}

fsfm_status fsfm_environment_threads(fsfm_comm *comm, int *threads, fsfm_error *err)
{
    int sharers = 0;
    FSFM_TRY(count_sharers(comm, &sharers, err));
    *threads = fsfm_processors_available() / (sharers < 1 ? 1 : sharers);
    if (*threads < 1) *threads = 1;
    return FSFM_OK;
}

fsfm_status fsfm_environment_is_crowded(fsfm_comm *comm, int threads, bool *is_crowded, fsfm_error *err)
{
    int sharers = 0;
    FSFM_TRY(count_sharers(comm, &sharers, err));
    *is_crowded = threads * sharers > fsfm_processors_available();
    return FSFM_OK;
}

fsfm_status fsfm_environment_places(fsfm_comm *comm, const fsfm_device *dev, fsfm_rank_place **places,
                                    fsfm_error *err)
{
    fsfm_rank_place mine;
    const int ranks = fsfm_comm_size(comm);
    fsfm_status st = FSFM_OK;
    *places = calloc((size_t)ranks, sizeof **places);
    if (!*places) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d ranks", ranks);
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) {
        free(*places);
        *places = NULL;
        return st;
    }
    memset(&mine, 0, sizeof mine);
    FSFM_TRY(fsfm_alike_text(comm, FSFM_ERR_ARG, "run.device: what was found (a GPU or a CPU)",
                             dev->kind == FSFM_DEVICE_CUDA ? "cuda" : "cpu", err));
    if (dev->kind == FSFM_DEVICE_CUDA)
        FSFM_TRY(fsfm_alike_file(comm, FSFM_ERR_DEVICE, "the plugin for GPUs", fsfm_device_file(dev), err));
    snprintf(mine.host, sizeof mine.host, "%s", fsfm_comm_host(comm));
    snprintf(mine.device, sizeof mine.device, "%s", dev->name);
    snprintf(mine.isa, sizeof mine.isa, "%s", dev->isa);
    snprintf(mine.place, sizeof mine.place, "%s", dev->place);
    mine.threads = dev->threads;
    fsfm_comm_gather_all(comm, &mine, (int64_t)sizeof mine, *places);
    return FSFM_OK;
}

uint64_t fsfm_environment_memory_bytes(void)
{
    const uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t limit = fsfm_memory_limit_bytes("/proc/self/cgroup", "/sys/fs/cgroup");
    return limit < bytes ? limit : bytes;
}

/* A line "NAME:  123 kB" of /proc/self/status: unlike getrusage() it says nothing of the program that started
 * this one. */
static uint64_t status_bytes(const char *name)
{
    unsigned long long kib = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    while (kib == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), ": %llu kB", &kib);
    fclose(file);
    return (uint64_t)kib << 10;
}

uint64_t fsfm_environment_rss_bytes(void)
{
    return status_bytes("VmRSS");
}

uint64_t fsfm_environment_peak_rss_bytes(void)
{
    return status_bytes("VmHWM");
}
