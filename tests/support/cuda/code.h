/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/code.h - numbers for places in the source, to be kept in great quantity. */
#ifndef FSFM_TESTS_EMULATED_CODE_H
#define FSFM_TESTS_EMULATED_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "emulated.h"

namespace emulated
{

/* 0 is no place. */
uint32_t code_of(const void *return_address);
uint32_t code_of(Site site);

/* Writes "file:line". */
void describe_code(uint32_t code, char *text, size_t text_bytes);

} // namespace emulated
#endif
