/* SPDX-License-Identifier: Apache-2.0
 * A profile passes operations on with their results and counts them, a counter just tells of them; the peaks
 * are rates. */
#include <math.h>
#include <string.h>

#include "core/device/counter.h"
#include "core/device/profile.h"
#include "tests/support/device_case.h"

enum { N = 12, CIN = 24, COUT = 40 };

static const fsfm_profile_entry *entry_of(const fsfm_profile *profile, const char *name)
{
    int count = 0;
    const fsfm_profile_entry *entries = fsfm_profile_entries(profile, &count);
    for (int i = 0; i < count; i++)
        if (strcmp(entries[i].name, name) == 0) return &entries[i];
    fail_msg("no entry %s", name);
    return NULL;
}

static int64_t all_calls(const fsfm_profile *profile)
{
    int count = 0;
    int64_t calls = 0;
    const fsfm_profile_entry *entries = fsfm_profile_entries(profile, &count);
    for (int i = 0; i < count; i++) calls += entries[i].calls;
    return calls;
}

/* The table has nothing but functions: none may be missing. */
static void test_whole_table(void **state)
{
    (void)state;
    device_case c;
    fsfm_profile *profile = NULL;
    case_begin(&c, 1, 0);
    assert_ok(fsfm_profile_open(c.dev, &profile, &c.err), &c.err);
    void *entries[sizeof(fsfm_device_ops) / sizeof(void *)];
    memcpy(entries, fsfm_profile_device(profile)->ops, sizeof entries);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (!entries[i]) fail_msg("operation %zu of the table is missing", i);
    fsfm_profile_close(&profile);
    assert_null(profile);
    case_end(&c);
}

static void test_passes_on(void **state)
{
    (void)state;
    device_case c;
    fsfm_profile *profile = NULL;
    case_begin(&c, 2, 1);
    const case_array *x = case_random(&c, CASE_ACTS, N * CIN, 1.0),
                     *weight = case_random(&c, CASE_WEIGHTS, COUT * CIN, 1.0);
    const case_array *const out[2] = {case_output(&c, CASE_ACTS, N * COUT),
                                      case_output(&c, CASE_ACTS, N * COUT)};
    assert_ok(fsfm_profile_open(c.dev, &profile, &c.err), &c.err);
    fsfm_device *devices[] = {c.dev, fsfm_profile_device(profile)};
    for (int i = 0; i < 2; i++) {
        const fsfm_linear_args args = {
            .N = N, .Cin = CIN, .Cout = COUT, .x = x->dev, .weight = weight->dev, .out = out[i]->dev};
        assert_ok(devices[i]->ops->linear(devices[i], &args, &c.err), &c.err);
    }
    case_check_equal(&c, out[1], out[0], "linear under the profile");
    float first;
    assert_ok(devices[1]->ops->download(devices[1], &first, out[1]->dev, sizeof first, &c.err), &c.err);
    const fsfm_profile_entry *linear = entry_of(profile, "linear"), *download = entry_of(profile, "download");
    assert_int_equal(linear->calls, 1);
    assert_true(linear->seconds > 0);
    assert_true(linear->flop == 2.0 * N * CIN * COUT);
    assert_true(linear->bytes == (double)c.dev->act_bytes * (N * CIN + CIN * COUT + N * COUT));
    assert_int_equal(download->calls, 1);
    assert_int_equal(all_calls(profile), 2);
    fsfm_profile_reset(profile);
    assert_int_equal(all_calls(profile), 0);
    assert_true(linear->seconds == 0 && linear->flop == 0);
    fsfm_profile_close(&profile);
    case_end(&c);
}

static void test_backward_counts_what_is_wanted(void **state)
{
    (void)state;
    device_case c;
    fsfm_profile *profile = NULL;
    float zeros[COUT * CIN] = {0};
    case_begin(&c, 1, 2);
    assert_ok(fsfm_profile_open(c.dev, &profile, &c.err), &c.err);
    fsfm_device *dev = fsfm_profile_device(profile);
    void *array[4];
    for (int i = 0; i < 4; i++) array[i] = case_bytes(&c, zeros, sizeof zeros);
    fsfm_linear_backward_args args = {
        .N = N, .Cin = CIN, .Cout = COUT, .x = array[0], .weight = array[1], .dout = array[2]};
    args.dweight = array[3];
    assert_ok(dev->ops->linear_backward(dev, &args, &c.err), &c.err);
    const fsfm_profile_entry *entry = entry_of(profile, "linear_backward");
    assert_true(entry->flop == 2.0 * N * CIN * COUT);
    args.dx = array[0];
    args.dweight = NULL;
    assert_ok(dev->ops->linear_backward(dev, &args, &c.err), &c.err);
    assert_true(entry->flop == 2 * 2.0 * N * CIN * COUT);
    assert_int_equal(entry->calls, 2);
    fsfm_profile_close(&profile);
    case_end(&c);
}

static void keep(void *context, const fsfm_counted *counted)
{
    *(fsfm_counted *)context = *counted;
}

/* The counter's table is whole, too; it tells of what it is given, and gives addresses of its own. */
static void test_counter(void **state)
{
    (void)state;
    fsfm_counter counter;
    fsfm_counted last = {.op = FSFM_OPS};
    fsfm_error err;
    void *entries[sizeof(fsfm_device_ops) / sizeof(void *)], *a = NULL, *b = NULL;
    fsfm_counter_init(&counter, FSFM_PRECISION_BF16, 80000000000, keep, &last);
    fsfm_device *dev = fsfm_counter_device(&counter);
    memcpy(entries, dev->ops, sizeof entries);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (!entries[i]) fail_msg("operation %zu of the table is missing", i);
    assert_true(dev->act_bytes == 2 && dev->whole->act_bytes == 4 && dev->memory_bytes == 80000000000);
    assert_ok(dev->ops->alloc(dev, 100, &a, &err), &err);
    assert_ok(dev->ops->alloc(dev, 100, &b, &err), &err);
    assert_true(a && (char *)b >= (char *)a + 100);
    const fsfm_linear_args args = {.N = N, .Cin = CIN, .Cout = COUT, .x = a, .weight = b, .out = a};
    assert_ok(dev->whole->ops->linear(dev->whole, &args, &err), &err);
    assert_true(last.op == FSFM_OP_linear && last.is_whole && last.args == &args);
    assert_true(last.cost.flop == 2.0 * N * CIN * COUT &&
                last.cost.bytes == 4.0 * (N * CIN + CIN * COUT + N * COUT));
    float zeros[2] = {1, 1};
    assert_ok(dev->ops->download(dev, zeros, a, sizeof zeros, &err), &err);
    assert_true(zeros[0] == 0 && zeros[1] == 0 && last.op == FSFM_OP_download && !last.is_whole);
    dev->ops->free(dev, a);
    fsfm_counter_init(&counter, FSFM_PRECISION_FP32, 0, NULL, NULL);
    assert_true(dev->whole == dev && dev->act_bytes == 4);
    assert_ok(dev->ops->linear(dev, &args, &err), &err);
}

/* The best shape counts. Rates are above a pocket calculator's and below what one machine can have. */
static void test_peaks(void **state)
{
    (void)state;
    const fsfm_product_shape shapes[] = {
        {2, 2, 2, false, false}, {192, 256, 320, false, true}, {256, 192, 128, true, false}};
    device_case c;
    fsfm_device_peaks tiny, peaks;
    case_begin(&c, 2, 3);
    assert_ok(fsfm_device_measure_peaks(c.dev, shapes, 1, &tiny, &c.err), &c.err);
    assert_ok(fsfm_device_measure_peaks(c.dev, shapes, 3, &peaks, &c.err), &c.err);
    assert_true(peaks.gemm_gflops > tiny.gemm_gflops && peaks.gemm_gflops > 0.1 && peaks.gemm_gflops < 1e6);
    assert_true(peaks.memory_gb_s > 0.1 && peaks.memory_gb_s < 1e5);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_table),
        cmocka_unit_test(test_passes_on),
        cmocka_unit_test(test_backward_counts_what_is_wanted),
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_peaks),
    };
    return case_skips() ? 77 : cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
