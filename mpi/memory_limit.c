/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/memory_limit.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096, ROOM_BYTES = 2 * PATH_BYTES };

/* "max" of version 2 is no number; version 1 says "none" by a number larger than any memory. */
static uint64_t limit_in(const char *path)
{
    uint64_t bytes = 0;
    FILE *file = fopen(path, "r");
    if (!file) return UINT64_MAX;
    if (fscanf(file, "%" SCNu64, &bytes) != 1 || bytes == 0) bytes = UINT64_MAX;
    fclose(file);
    return bytes;
}

/* Of the group, "/a/b" below root, and of those above it; the path is used up. */
static uint64_t smallest_above(const char *root, char *group, const char *file)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char path[ROOM_BYTES];
        char *end = group + strlen(group);
        while (end > group && end[-1] == '/') *--end = '\0';
        if (snprintf(path, sizeof path, "%s%s/%s", root, group, file) < (int)sizeof path) {
            const uint64_t bytes = limit_in(path);
            if (bytes < least) least = bytes;
        }
        if (!group[0]) return least;
        while (end > group && end[-1] != '/') *--end = '\0';
    }
}

/* Whether memory is among the controllers, "cpu,memory". */
static bool has_memory(const char *controllers)
{
    static const char name[] = "memory";
    const size_t length = sizeof name - 1;
    for (const char *at = controllers; (at = strstr(at, name)); at += length)
        if ((at == controllers || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
    return false;
}

uint64_t fsfm_memory_limit_bytes(const char *membership, const char *root)
{
    char line[PATH_BYTES], old_root[PATH_BYTES], nothing[] = "";
    uint64_t least = UINT64_MAX;
    FILE *file = fopen(membership, "r");
    snprintf(old_root, sizeof old_root, "%s/memory", root);
    while (file && fgets(line, sizeof line, file)) { /* "0::/a/b", or "4:memory:/a/b" of version 1 */
        uint64_t bytes = UINT64_MAX;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (!controllers[1])
            bytes = smallest_above(root, group, "memory.max");
        else if (has_memory(controllers + 1))
            bytes = smallest_above(old_root, group, "memory.limit_in_bytes");
        if (bytes < least) least = bytes;
    }
    if (file) fclose(file);
    const uint64_t whole = smallest_above(root, nothing, "memory.max");
    const uint64_t old_whole = smallest_above(old_root, nothing, "memory.limit_in_bytes");
    if (whole < least) least = whole;
    return old_whole < least ? old_whole : least;
}
