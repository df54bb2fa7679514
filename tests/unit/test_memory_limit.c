/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "mpi/memory_limit.h"
#include "tests/support/check.h"

static char root[256];

static int make_root(void **state)
{
    (void)state;
    make_folder(root);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    remove_folder(root);
    return 0;
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[512], file[1024];
    fsfm_error err;
    snprintf(path, sizeof path, "%s%s", root, folder);
    assert_ok(fsfm_folder_make(path, &err), &err);
    snprintf(file, sizeof file, "%s/%s", path, name);
    assert_ok(fsfm_file_write(file, text, strlen(text), &err), &err);
}

static uint64_t limit(const char *membership)
{
    char path[512];
    put("", "membership", membership);
    snprintf(path, sizeof path, "%s/membership", root);
    return fsfm_memory_limit_bytes(path, root);
}

/* As SLURM makes them: the job's group has the limit, those of its step and task have none of their own. */
static void version_2(void **state)
{
    (void)state;
    put("/slurmstepd.scope", "memory.max", "max\n");
    put("/slurmstepd.scope/job_7", "memory.max", "3000\n");
    put("/slurmstepd.scope/job_7/step_0", "memory.max", "max\n");
    put("/slurmstepd.scope/job_7/step_0/user", "memory.max", "4000\n");
    assert_int_equal(limit("0::/slurmstepd.scope/job_7/step_0/user/task_0\n"), 3000);
    put("/slurmstepd.scope/job_7/step_0/user", "memory.max", "2000\n");
    assert_int_equal(limit("0::/slurmstepd.scope/job_7/step_0/user\n"), 2000);
    assert_true(limit("0::/slurmstepd.scope\n") == UINT64_MAX);
    put("", "memory.max", "1000\n");
    assert_int_equal(limit("0::/slurmstepd.scope/job_7\n"), 1000);
}

static void version_1(void **state)
{
    (void)state;
    static const char lines[] =
        "9:name=systemd:/slurm/memory\n5:cpu,memory:/slurm/uid_1/job_7\n4:memory_else:/other\n0::/\n";
    put("/memory", "memory.limit_in_bytes", "9223372036854771712\n");
    put("/memory/slurm/uid_1", "memory.limit_in_bytes", "9223372036854771712\n");
    put("/memory/slurm/uid_1/job_7", "memory.limit_in_bytes", "5000\n");
    put("/memory/other", "memory.limit_in_bytes", "10\n");
    assert_int_equal(limit(lines), 5000);
    put("/memory/slurm/uid_1", "memory.limit_in_bytes", "4000\n");
    assert_int_equal(limit(lines), 4000);
}

/* As in a container: the group has a name that only the machine outside knows. */
static void unseen_groups(void **state)
{
    (void)state;
    assert_true(limit("0::/a/b\n4:memory:/../c\n") == UINT64_MAX);
    assert_true(limit("nothing of the kind\n") == UINT64_MAX);
    put("", "memory.max", "6000\n");
    assert_int_equal(limit("0::/a/b\n"), 6000);
    assert_int_equal(limit(""), 6000);
    assert_int_equal(fsfm_memory_limit_bytes("/nonexistent", root), 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(version_2, make_root, remove_root),
        cmocka_unit_test_setup_teardown(version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(unseen_groups, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
