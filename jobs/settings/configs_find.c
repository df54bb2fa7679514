/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/settings/configs_find.h"

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

fsfm_status fsfm_configs_path(const char *folder, const char *name, char *out, size_t size_bytes,
                              fsfm_error *err)
{
    static const char *const places[] = {"configs", "share/fsfm/configs"};
    char home[FSFM_TEXT_SIZE], configs[FSFM_TEXT_SIZE + 64], file[160];
    const char *found = places[0];
    find_home(home);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        FSFM_TRY(fsfm_path_join(configs, sizeof configs, home, places[i], err));
        if (access(configs, F_OK) != 0) continue;
        found = configs;
        break;
    }
    snprintf(file, sizeof file, "%.60s%s%.80s.yaml", folder, *folder ? "/" : "", name);
    return fsfm_path_join(out, size_bytes, found, file, err);
}
