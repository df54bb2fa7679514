/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)

/* The folder of the running program, without a slash at its end. */
static fsfm_status program_folder(char out[PATH_MAX], fsfm_error *err)
{
    const ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (length <= 0) return fsfm_fail(err, FSFM_ERR_DEVICE, "/proc/self/exe does not name this program");
    out[length] = '\0';
    *strrchr(out, '/') = '\0';
    return FSFM_OK;
}

static fsfm_status find_file(char out[PATH_MAX], fsfm_error *err)
{
    static const char *const places[] = {".", "../lib"};
    char folder[PATH_MAX];
    FSFM_TRY(program_folder(folder, err));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const int length = snprintf(out, PATH_MAX, "%s/%s/libfsfm_cuda.so", folder, places[i]);
        if (length < PATH_MAX && access(out, F_OK) == 0) return FSFM_OK;
    }
    return fsfm_fail(err, FSFM_ERR_DEVICE,
                     "libfsfm_cuda.so is neither in %.200s nor in ../lib from there: built without CUDA?",
                     folder);
}

/* libcuda.so.1 is a part of the driver: asking for it is much faster than CUDA's own start. */
static fsfm_status find_driver(fsfm_error *err)
{
    if (dlopen("libcuda.so.1", RTLD_LAZY)) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "libcuda.so.1 is not here: no NVIDIA driver on this machine");
}

static fsfm_status load(const char *path, const fsfm_device_plugin **out, fsfm_error *err)
{
    const fsfm_device_plugin *(*get)(void) = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol = NULL;
    if (!library) return fsfm_fail(err, FSFM_ERR_DEVICE, "%s", dlerror());
    if (!(symbol = dlsym(library, TEXT(FSFM_DEVICE_PLUGIN_SYMBOL))))
        return fsfm_fail(err, FSFM_ERR_DEVICE, "%.200s is no plugin of fsfm: %s", path, dlerror());
    memcpy(&get, &symbol, sizeof get); /* ISO C has no cast from data to function */
    if (get()->abi != FSFM_DEVICE_PLUGIN_ABI)
        return fsfm_fail(err, FSFM_ERR_DEVICE, "%.200s is of another version of fsfm: ABI %d, expected %d",
                         path, get()->abi, FSFM_DEVICE_PLUGIN_ABI);
    *out = get();
    return FSFM_OK;
}

fsfm_status fsfm_device_plugin_find(const fsfm_device_plugin **out, bool *has_driver, fsfm_error *err)
{
    const char *given = getenv("FSFM_CUDA_PLUGIN");
    char path[PATH_MAX];
    *out = NULL;
    *has_driver = given && given[0];
    if (*has_driver) {
        snprintf(path, sizeof path, "%s", given);
    } else {
        FSFM_TRY(find_driver(err));
        *has_driver = true;
        FSFM_TRY(find_file(path, err));
    }
    const fsfm_device_plugin *plugin = NULL;
    FSFM_TRY(load(path, &plugin, err));
    FSFM_TRY(plugin->probe(err));
    *out = plugin;
    return FSFM_OK;
}
