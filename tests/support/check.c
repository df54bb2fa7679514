/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/check.h"

#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Written as "not close", so that NaN fails. */
bool all_close(const float *got, const float *want, int64_t n, double rtol, double atol)
{
    for (int64_t i = 0; i < n; i++)
        if (!(isfinite(want[i]) && fabs((double)got[i] - want[i]) <= atol + rtol * fabs((double)want[i]))) {
            print_error("entry %" PRId64 ": got %.9g, want %.9g\n", i, (double)got[i], (double)want[i]);
            return false;
        }
    return true;
}

void assert_ok(fsfm_status st, const fsfm_error *err)
{
    if (st != FSFM_OK) fail_msg("unexpected failure (%d): %s", st, err->message);
}

void assert_fails(fsfm_status st, fsfm_status want, const fsfm_error *err, const char *text)
{
    if (st != want) fail_msg("status %d, expected %d: %s", st, want, st == FSFM_OK ? "" : err->message);
    if (!strstr(err->message, text)) fail_msg("message lacks '%s': %s", text, err->message);
}

void make_folder(char path[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/fsfm-test.XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)info, (void)kind, (void)ftw;
    return remove(path);
}

void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *shared_folder(void)
{
    static char path[512];
    const char *given = getenv("SHARED"), *source = getenv("SOURCE");
    if (given)
        snprintf(path, sizeof path, "%s", given);
    else
        snprintf(path, sizeof path, "%s/../shared", source ? source : ".");
    return access(path, R_OK) == 0 ? path : NULL;
}
