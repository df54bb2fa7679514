/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/checkpoint_folder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/options.h"
#include "io/file.h"

void fsfm_checkpoint_file_name(char out[32], int64_t step)
{
    snprintf(out, 32, "step-%08" PRId64 ".h5", step);
}

/* The step of a checkpoint's name; -1 for other names. */
static int64_t step_of(const char *name)
{
    char again[32];
    int64_t step = -1;
    if (sscanf(name, "step-%" SCNd64 ".h5", &step) != 1 || step < 0) return -1;
    fsfm_checkpoint_file_name(again, step);
    return strcmp(name, again) == 0 ? step : -1;
}

static int newest_first(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x > y ? -1 : x < y;
}

static int64_t pointed_at(const char *folder, const char *pointer)
{
    char path[FSFM_TEXT_SIZE + 64];
    uint8_t *text = NULL;
    size_t length = 0;
    int64_t step = -1;
    if (fsfm_path_join(path, sizeof path, folder, pointer, NULL) != FSFM_OK || !fsfm_file_exists(path))
        return -1;
    if (fsfm_file_read(path, &text, &length, NULL) != FSFM_OK) return -1;
    text[strcspn((char *)text, "\n")] = 0;
    step = step_of((char *)text);
    free(text);
    return step;
}

fsfm_status fsfm_checkpoint_folder_list(const char *folder, int64_t **steps, int64_t *count, fsfm_error *err)
{
    int64_t room = 64, latest = pointed_at(folder, "latest");
    int64_t *list = malloc((size_t)room * sizeof *list);
    const struct dirent *entry = NULL;
    DIR *dir = opendir(folder);
    *steps = NULL;
    *count = 0;
    if (!dir) {
        free(list);
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be listed: %s", folder, strerror(errno));
    }
    while (list && (entry = readdir(dir)) != NULL) {
        const int64_t step = step_of(entry->d_name);
        if (step < 0) continue;
        if (*count == room) {
            int64_t *more = realloc(list, (size_t)(room *= 2) * sizeof *more);
            if (!more) free(list);
            list = more;
        }
        if (list) list[(*count)++] = step;
    }
    closedir(dir);
    if (!list) {
        *count = 0;
        return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for its list", folder);
    }
    qsort(list, (size_t)*count, sizeof *list, newest_first);
    for (int64_t i = 1; i < *count; i++) /* the one that `latest` names goes to the front */
        if (list[i] == latest) {
            memmove(list + 1, list, (size_t)i * sizeof *list);
            list[0] = latest;
        }
    *steps = list;
    return FSFM_OK;
}

static void remove_file(const char *folder, const char *name)
{
    char path[FSFM_TEXT_SIZE + 320];
    if (fsfm_path_join(path, sizeof path, folder, name, NULL) == FSFM_OK) unlink(path);
}

void fsfm_checkpoint_folder_retain(const char *folder, int64_t step, int64_t best, int64_t keep_last,
                                   int64_t keep_every)
{
    int64_t *steps = NULL, count = 0, newer = 0;
    char name[32];
    if (fsfm_checkpoint_folder_list(folder, &steps, &count, NULL) != FSFM_OK) return;
    qsort(steps, (size_t)count, sizeof *steps, newest_first);
    for (int64_t i = 0; i < count; i++) {
        const bool is_future = steps[i] > step;
        const bool is_kept = (keep_every > 0 && steps[i] % keep_every == 0) || steps[i] == best;
        if (!is_future) newer++;
        if (!is_future && (newer <= keep_last || is_kept)) continue;
        fsfm_checkpoint_file_name(name, steps[i]);
        remove_file(folder, name);
    }
    free(steps);
}

void fsfm_checkpoint_folder_clean(const char *folder)
{
    const struct dirent *entry = NULL;
    DIR *dir = opendir(folder);
    while (dir && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        const bool is_ours = strncmp(name, "step-", 5) == 0 || strncmp(name, "latest", 6) == 0 ||
                             strncmp(name, "best", 4) == 0;
        if (is_ours && strstr(name, ".tmp")) remove_file(folder, name);
    }
    if (dir) closedir(dir);
}
