/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/source.h - from addresses of code to lines of source. */
#ifndef FSFM_TESTS_EMULATED_SOURCE_H
#define FSFM_TESTS_EMULATED_SOURCE_H

#include <stddef.h>

namespace emulated
{

/* Writes "file:line" of the code at an address, or what can be said without debug information. */
void describe_source(const void *code, char *text, size_t text_bytes);

} // namespace emulated
#endif
