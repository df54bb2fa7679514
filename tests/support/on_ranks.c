/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/on_ranks.h"

int run_on_ranks(const ranks_tests *tests, fsfm_comm **comm, int *rank, int *ranks)
{
    fsfm_error err;
    if (fsfm_comm_start(comm, &err) != FSFM_OK) return 1;
    *rank = fsfm_comm_rank(*comm);
    *ranks = fsfm_comm_size(*comm);
    const int failed = _cmocka_run_group_tests("ranks", tests->tests, tests->count, tests->begin, tests->end);
    fsfm_comm_stop(comm);
    return failed != 0;
}
