// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/symbols.cu - the shared variables of a module: static variables of its functions, found
// by their mangled names in its file's symbol table.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "settings.h"
#include "shared.h"

namespace emulated
{

static const char *map_file(const char *path)
{
    const int file = open(path, O_RDONLY);
    struct stat status = {};
    if (file < 0 || fstat(file, &status) != 0) fail("cannot read %s for its symbols", path);
    void *mapped = mmap(nullptr, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (mapped == MAP_FAILED) fail("cannot map %s for its symbols", path);
    close(file);
    return static_cast<const char *>(mapped);
}

// _ZZ<function>E<name>: a variable of a function; the emulator has none that can be written.
static bool is_shared(const Elf64_Sym &symbol, const Elf64_Shdr *sections, const char *name)
{
    const char of_function[] = "_ZZ", of_emulator[] = "_ZZN8emulated";
    return ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT && symbol.st_shndx != SHN_UNDEF &&
           symbol.st_shndx < SHN_LORESERVE && (sections[symbol.st_shndx].sh_flags & SHF_WRITE) != 0 &&
           strncmp(name, of_function, sizeof of_function - 1) == 0 &&
           strncmp(name, of_emulator, sizeof of_emulator - 1) != 0;
}

static std::vector<SharedVariable> read_variables(const char *path, char *load_address)
{
    const char *file = map_file(path);
    const Elf64_Ehdr *header = reinterpret_cast<const Elf64_Ehdr *>(file);
    const Elf64_Shdr *sections = reinterpret_cast<const Elf64_Shdr *>(file + header->e_shoff);
    std::vector<SharedVariable> found;
    bool has_symbols = false;
    for (int s = 0; s < header->e_shnum; s++) {
        if (sections[s].sh_type != SHT_SYMTAB) continue;
        has_symbols = true;
        const Elf64_Sym *symbols = reinterpret_cast<const Elf64_Sym *>(file + sections[s].sh_offset);
        const char *names = file + sections[sections[s].sh_link].sh_offset;
        for (size_t i = 0; i < sections[s].sh_size / sizeof *symbols; i++)
            if (is_shared(symbols[i], sections, names + symbols[i].st_name))
                found.push_back({names + symbols[i].st_name, load_address + symbols[i].st_value,
                                 (size_t)symbols[i].st_size});
    }
    if (!has_symbols) fail("%s has no symbol table: kernels' shared memory cannot be found", path);
    return found; // the file stays mapped until the end
}

const std::vector<SharedVariable> &shared_variables(const void *kernel)
{
    static std::map<const void *, std::vector<SharedVariable>> of_modules;
    Dl_info info = {};
    struct link_map *map = nullptr;
    if (dladdr1(kernel, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP) == 0 || map == nullptr)
        fail("a kernel at %p is in no module", kernel);
    auto found = of_modules.find(map);
    if (found == of_modules.end()) {
        const char *path = map->l_name[0] == '\0' ? "/proc/self/exe" : map->l_name;
        found = of_modules.emplace(map, read_variables(path, reinterpret_cast<char *>(map->l_addr))).first;
    }
    return found->second;
}

} // namespace emulated
