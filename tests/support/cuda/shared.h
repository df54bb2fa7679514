/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/shared.h - a block's shared memory: variables of kernels, which are static here, and the
 * dynamic part. */
#ifndef FSFM_TESTS_EMULATED_SHARED_H
#define FSFM_TESTS_EMULATED_SHARED_H

#include <stddef.h>

#include <string>
#include <vector>

#include "emulated.h"

namespace emulated
{

constexpr size_t most_shared_bytes = 227 << 10, most_shared_bytes_without_consent = 48 << 10;

struct SharedVariable {
    std::string name; /* mangled, with its function's */
    char *address;
    size_t bytes;
};

/* All of the module that has kernel, by address. */
const std::vector<SharedVariable> &shared_variables(const void *kernel);

/* The kernel's name with template arguments, where the symbol table has it; otherwise. */
std::string kernel_name(const void *kernel, const char *otherwise);

/* Sets view.dynamic_shared to dynamic shared memory of so many bytes, for the launches to come. */
void set_dynamic_shared(size_t bytes);
size_t dynamic_shared_bytes();

/* Fills the shared memory that kernel may use with NaN. */
void fill_shared(const void *kernel);

/* Fails where a kernel has written beside the dynamic part. */
void check_shared_guards();

/* Fails where bytes from address, aligned to their number, are not in the shared memory of the kernel that
 * runs; name and site say for which operation. */
void check_shared(const void *address, size_t bytes, const char *name, Site site);

/* Whether address is near the dynamic part, where nothing may be touched. */
bool is_beside_shared(const void *address);

} // namespace emulated
#endif
