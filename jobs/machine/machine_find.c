/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/machine/machine_find.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/options.h"
#include "io/file.h"

/* The folder above the one that the running program lies in; "" where the system does not tell. */
static void find_home(char out[FSFM_TEXT_SIZE])
{
    const ssize_t length = readlink("/proc/self/exe", out, FSFM_TEXT_SIZE - 1);
    out[length > 0 ? length : 0] = 0;
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(out, '/');
        if (slash) *slash = 0;
    }
}

fsfm_status fsfm_machine_path(const char *name, char *out, size_t size_bytes, fsfm_error *err)
{
    static const char *const places[] = {"configs/machines", "share/fsfm/configs/machines"};
    char home[FSFM_TEXT_SIZE], folder[FSFM_TEXT_SIZE + 64], file[96];
    const char *found = places[0];
    find_home(home);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        FSFM_TRY(fsfm_path_join(folder, sizeof folder, home, places[i], err));
        if (access(folder, F_OK) != 0) continue;
        found = folder;
        break;
    }
    snprintf(file, sizeof file, "%.80s.yaml", name);
    return fsfm_path_join(out, size_bytes, found, file, err);
}
