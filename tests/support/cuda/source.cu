// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/source.cu - lines of source by addr2line; see source.h.
#include "source.h"

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

namespace emulated
{

// The file's name without its folders.
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == nullptr ? path : slash + 1;
}

void describe_source(const void *code, char *text, size_t text_bytes)
{
    Dl_info info = {};
    struct link_map *map = nullptr;
    if (dladdr1(code, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP) == 0 || map == nullptr) {
        snprintf(text, text_bytes, "code %p", code);
        return;
    }
    const char *file = map->l_name[0] == '\0' ? "/proc/$PPID/exe" : map->l_name;
    const size_t offset = (uintptr_t)code - map->l_addr;
    char command[512], line[256] = "";
    snprintf(command, sizeof command, "addr2line -e \"$(readlink -f %s)\" %zx 2>/dev/null", file, offset);
    FILE *lines = popen(command, "r");
    if (lines != nullptr) {
        if (fgets(line, sizeof line, lines) == nullptr) line[0] = '\0';
        pclose(lines);
    }
    line[strcspn(line, " \n")] = '\0';
    if (line[0] == '\0' || strchr(line, '?') != nullptr)
        snprintf(text, text_bytes, "%s+0x%zx", base_name(info.dli_fname), offset);
    else
        snprintf(text, text_bytes, "%s", base_name(line));
}

} // namespace emulated
