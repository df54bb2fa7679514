/* SPDX-License-Identifier: Apache-2.0
 * mpi/memory_limit.h - what a process's control groups leave it of the machine's memory. */
#ifndef FSFM_MPI_MEMORY_LIMIT_H
#define FSFM_MPI_MEMORY_LIMIT_H

#include <stdint.h>

/* The smallest limit, in bytes, of the groups that membership (a file as /proc/self/cgroup) names and of
 * those above them, in version 2 below root (/sys/fs/cgroup) and in version 1 below root/memory. UINT64_MAX
 * where there is none. Groups that cannot be seen from here, as from a container, do not count. */
uint64_t fsfm_memory_limit_bytes(const char *membership, const char *root);
#endif
