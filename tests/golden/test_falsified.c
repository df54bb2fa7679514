/* SPDX-License-Identifier: Apache-2.0
 * A verifier that cannot fail is none: a golden file with one number changed must be refused. */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/file.h"
#include "jobs/command.h"
#include "tests/support/check.h"

static char folder[256];

/* Multiplies element index of dataset name in a copy of the tiny golden file, and verifies the copy. */
static int verify_changed(const char *name, hsize_t index, double factor)
{
    char from[512], to[512];
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fsfm_error err = {0};
    const char *source = getenv("SOURCE");
    snprintf(from, sizeof from, "%s/tests/golden/tiny.h5", source ? source : ".");
    snprintf(to, sizeof to, "%s/changed.h5", folder);
    assert_ok(fsfm_file_read(from, &bytes, &size_bytes, &err), &err);
    assert_ok(fsfm_file_write(to, bytes, size_bytes, &err), &err);
    free(bytes);

    hid_t file = H5Fopen(to, H5F_ACC_RDWR, H5P_DEFAULT), data = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(file >= 0 && data >= 0);
    hid_t space = H5Dget_space(data);
    const hsize_t count = (hsize_t)H5Sget_simple_extent_npoints(space);
    double *values = malloc(count * sizeof *values);
    assert_true(index < count &&
                H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    values[index] *= factor;
    assert_true(H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    free(values);
    H5Sclose(space);
    H5Dclose(data);
    H5Fclose(file);

    char *arguments[] = {to, NULL};
    return fsfm_command_verify.run(1, arguments, &err);
}

static void test_unchanged(void **state)
{
    (void)state;
    assert_int_equal(verify_changed("weights/online/cls_token", 0, 1.0), FSFM_EXIT_DONE);
}

static void test_changed(void **state)
{
    (void)state;
    const struct {
        const char *name;
        hsize_t index;
        double factor;
    } changes[] = {
        {"weights/online/blocks.1.mlp.fc1.weight", 100, 1.5},
        {"weights/online/mask_token", 7, 3.0},
        {"weights/target/blocks.0.attn.qkv.weight", 77, 3.0},
        {"grad/decoder_blocks.1.attn.proj.weight", 0, 30.0},
        {"output/latent", 11, 1.01},
        {"output/pred", 900, 1.01},
        {"output/feat", 3, 1.01},
        {"trajectory/steps", 105, 1.001},
        {"trajectory/steps", 109, 1.001},
        {"trajectory/batch2/images", 50, 1.5},
        {"trajectory/final/online/cls_token", 1, 1.001},
        {"trajectory/final/target/norm.weight", 1, 1.001},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        if (verify_changed(changes[i].name, changes[i].index, changes[i].factor) != FSFM_EXIT_FAILED)
            fail_msg("a changed %s is accepted", changes[i].name);
}

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unchanged),
        cmocka_unit_test(test_changed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
