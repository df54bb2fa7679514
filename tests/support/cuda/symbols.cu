// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/symbols.cu - the shared variables of a module: static variables of its functions, found
// by their mangled names in its file's symbol table.
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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

struct Module {
    std::vector<SharedVariable> variables;
    std::map<const void *, std::string> functions; // mangled names
};

static void read_symbols(const char *file, const Elf64_Shdr *sections, const Elf64_Shdr &table,
                         char *load_address, Module *module)
{
    const Elf64_Sym *symbols = reinterpret_cast<const Elf64_Sym *>(file + table.sh_offset);
    const char *names = file + sections[table.sh_link].sh_offset;
    for (size_t i = 0; i < table.sh_size / sizeof *symbols; i++) {
        const char *name = names + symbols[i].st_name;
        char *address = load_address + symbols[i].st_value;
        if (is_shared(symbols[i], sections, name))
            module->variables.push_back({name, address, (size_t)symbols[i].st_size});
        if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC) module->functions[address] = name;
    }
}

static Module read_module(const char *path, char *load_address)
{
    const char *file = map_file(path); // stays mapped until the end
    const Elf64_Ehdr *header = reinterpret_cast<const Elf64_Ehdr *>(file);
    const Elf64_Shdr *sections = reinterpret_cast<const Elf64_Shdr *>(file + header->e_shoff);
    Module module;
    for (int s = 0; s < header->e_shnum; s++)
        if (sections[s].sh_type == SHT_SYMTAB)
            read_symbols(file, sections, sections[s], load_address, &module);
    if (module.functions.empty())
        fail("%s has no symbol table: kernels' shared memory cannot be found", path);
    std::sort(module.variables.begin(), module.variables.end(),
              [](const auto &a, const auto &b) { return a.address < b.address; });
    return module;
}

static const Module &module_of(const void *kernel)
{
    static std::map<const void *, Module> modules;
    Dl_info info = {};
    struct link_map *map = nullptr;
    if (dladdr1(kernel, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP) == 0 || map == nullptr)
        fail("a kernel at %p is in no module", kernel);
    auto found = modules.find(map);
    if (found == modules.end()) {
        const char *path = map->l_name[0] == '\0' ? "/proc/self/exe" : map->l_name;
        found = modules.emplace(map, read_module(path, reinterpret_cast<char *>(map->l_addr))).first;
    }
    return found->second;
}

const std::vector<SharedVariable> &shared_variables(const void *kernel)
{
    return module_of(kernel).variables;
}

// Without the type of the result and the parameters: void f<A>(B, C) is f<A>.
static std::string short_name(const std::string &demangled)
{
    size_t first = demangled.compare(0, 5, "void ") == 0 ? 5 : 0, end = first;
    for (int depth = 0; end < demangled.size() && (depth > 0 || demangled[end] != '('); end++)
        depth += demangled[end] == '<' ? 1 : demangled[end] == '>' ? -1 : 0;
    return demangled.substr(first, end - first);
}

std::string kernel_name(const void *kernel, const char *otherwise)
{
    const auto &functions = module_of(kernel).functions;
    const auto found = functions.find(kernel);
    if (found == functions.end()) return otherwise;
    int status = 0;
    char *demangled = abi::__cxa_demangle(found->second.c_str(), nullptr, nullptr, &status);
    const std::string name = status == 0 ? short_name(demangled) : found->second;
    free(demangled);
    return name;
}

} // namespace emulated
