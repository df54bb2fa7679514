/* SPDX-License-Identifier: Apache-2.0
 * tests/support/on_ranks.h - the main of a test program that runs on several ranks. */
#ifndef FSFM_TESTS_SUPPORT_ON_RANKS_H
#define FSFM_TESTS_SUPPORT_ON_RANKS_H

#include "mpi/comm.h"
#include "tests/support/check.h"

typedef struct {
    const struct CMUnitTest *tests;
    size_t count;
    CMFixtureFunction begin, end; /* around all tests; may be NULL */
} ranks_tests;

/* Runs the tests with *comm, *rank and *ranks set; returns main's exit code. */
int run_on_ranks(const ranks_tests *tests, fsfm_comm **comm, int *rank, int *ranks);

#endif
