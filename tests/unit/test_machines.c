/* SPDX-License-Identifier: Apache-2.0
 * Descriptions of machines: what is read and refused, what is kept of measured steps; and the sum of
 * gradients over links of known rates. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "jobs/machine/gpu_machine.h"
#include "jobs/machine/local_machine.h"
#include "mpi/exchange_time.h"
#include "tests/support/check.h"

static const char whole[] = "name: test\nbf16_tflops: 100\nfp32_tflops: 10\nmemory_tb_s: 2\nmemory_gb: 40\n"
                            "reserved_gb: 1\ngemm_share: 0.5\nattention_tflops: 20\nmemory_share: 0.5\n"
                            "gap_ms: 1\ngpus_per_node: 4\nnvlink_gb_s: 100\nnvlink_us: 2\nnetwork_gb_s: 10\n"
                            "network_us: 5\n";

static fsfm_status read_text(const char *text, fsfm_gpu_machine *machine, fsfm_error *err)
{
    char folder[256], path[512];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/gpu.yaml", folder);
    assert_ok(fsfm_file_write(path, text, strlen(text), err), err);
    const fsfm_status st = fsfm_gpu_machine_read(path, machine, err);
    remove_folder(folder);
    return st;
}

static void test_gpu(void **state)
{
    char text[1024];
    fsfm_gpu_machine machine;
    fsfm_error err;
    (void)state;
    snprintf(text, sizeof text, "%sstorage_gb_s: 1\n", whole);
    assert_ok(read_text(text, &machine, &err), &err);
    const fsfm_rates bf16 = fsfm_gpu_machine_rates(&machine, FSFM_PRECISION_BF16);
    const fsfm_rates fp32 = fsfm_gpu_machine_rates(&machine, FSFM_PRECISION_FP32);
    assert_true(bf16.product_flop == 50e12 && bf16.attention_flop == 20e12 && bf16.bytes == 1e12);
    assert_true(fp32.product_flop == 5e12 && fp32.attention_flop == 5e12);
    assert_true(bf16.whole_flop == 5e12 && fp32.whole_flop == 5e12);
    assert_fails(read_text(whole, &machine, &err), FSFM_ERR_ARG, &err,
                 "gpu.yaml:1:1: storage_gb_s is missing: expected a number above 0");
    snprintf(text, sizeof text, "%sstorage_gb_s: -1\n", whole);
    assert_fails(read_text(text, &machine, &err), FSFM_ERR_ARG, &err,
                 "gpu.yaml:16:15: storage_gb_s: expected a number above 0, found '-1'");
    snprintf(text, sizeof text, "%sstorage_gb_s: 1\nstorage_gb: 2\n", whole);
    assert_fails(read_text(text, &machine, &err), FSFM_ERR_ARG, &err,
                 "gpu.yaml:17:1: storage_gb: unknown key; nearest known key: storage_gb_s");
    snprintf(text, sizeof text, "%sstorage_gb_s: [1]\n", whole);
    assert_fails(read_text(text, &machine, &err), FSFM_ERR_ARG, &err,
                 "expected a number above 0, found a list");
    assert_fails(read_text("gemm_share: 1.1\n", &machine, &err), FSFM_ERR_ARG, &err,
                 "expected a number above 0 and at most 1, found '1.1'");
    assert_fails(read_text("gpus_per_node: 2.5\n", &machine, &err), FSFM_ERR_ARG, &err,
                 "expected a whole number of at least 1, found '2.5'");
    assert_fails(read_text("name: [\n", &machine, &err), FSFM_ERR_ARG, &err, "gpu.yaml:");
    assert_fails(read_text("- a\n", &machine, &err), FSFM_ERR_ARG, &err, "expected a map of keys and values");
    assert_fails(fsfm_gpu_machine_read("h1000", &machine, &err), FSFM_ERR_ARG, &err,
                 "--gpu: expected h100, a100, h200 or a file, found 'h1000'");
}

static fsfm_local_step step_of(const char *preset, const char *precision, double threads, double gflop)
{
    fsfm_local_step s = {.ranks = 1, .threads = threads, .micro_batch = 4, .gflop_per_image = gflop};
    snprintf(s.preset, sizeof s.preset, "%s", preset);
    snprintf(s.precision, sizeof s.precision, "%s", precision);
    snprintf(s.device, sizeof s.device, "cpu (x, %g threads)", threads);
    s.gemm_peak_gflops = 200;
    s.gemm_gflops = 100;
    s.memory_peak_gb_s = 20;
    s.attention_gflops = 50;
    s.rows_gb_s = s.optimizer_gb_s = 10;
    s.other_share = 0.01;
    return s;
}

static void test_local(void **state)
{
    char folder[256], path[512];
    fsfm_local_machine machine, again;
    fsfm_error err;
    (void)state;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/local.yaml", folder);
    assert_ok(fsfm_local_machine_read(path, &machine, &err), &err);
    assert_true(!machine.is_there && machine.count == 0);
    const fsfm_local_step steps[] = {step_of("vit_t16", "fp32", 2, 7), step_of("vit_b16", "fp32", 2, 102),
                                     step_of("vit_t16", "fp32", 1, 7), step_of("vit_t16", "bf16", 2, 7)};
    for (int i = 0; i < 4; i++) fsfm_local_machine_put(&machine, &steps[i]);
    fsfm_local_step better = steps[0];
    better.gemm_gflops = 123.5;
    fsfm_local_machine_put(&machine, &better); /* in the place of the first */
    machine.checkpoint_mb_s = 300;
    assert_ok(fsfm_local_machine_write(&machine, &err), &err);
    assert_ok(fsfm_local_machine_read(path, &again, &err), &err);
    assert_true(again.is_there && again.count == 4 && again.checkpoint_mb_s == 300);
    const fsfm_local_step *s = fsfm_local_machine_choose(&again, FSFM_PRECISION_FP32, 1, 2, 8);
    assert_true(s && s->gemm_gflops == 123.5 && strcmp(s->device, "cpu (x, 2 threads)") == 0);
    assert_string_equal(fsfm_local_machine_choose(&again, FSFM_PRECISION_FP32, 1, 2, 49)->preset, "vit_b16");
    assert_true(fsfm_local_machine_choose(&again, FSFM_PRECISION_FP32, 1, 1, 49)->threads == 1);
    assert_null(fsfm_local_machine_choose_sum(&again, 2));
    fsfm_local_step on_ranks[] = {step_of("vit_s16", "fp32", 1, 49), step_of("vit_s16", "bf16", 1, 49)};
    for (int i = 0; i < 2; i++) {
        on_ranks[i].ranks = i ? 16 : 2;
        on_ranks[i].sum_gb_s = i ? 0.5 : 2.5;
        fsfm_local_machine_put(&machine, &on_ranks[i]);
    }
    assert_ok(fsfm_local_machine_write(&machine, &err), &err);
    assert_ok(fsfm_local_machine_read(path, &again, &err), &err);
    assert_true(fsfm_local_machine_choose_sum(&again, 4)->sum_gb_s == 2.5);
    assert_true(fsfm_local_machine_choose_sum(&again, 100)->sum_gb_s == 0.5);
    s = fsfm_local_machine_choose(&again, FSFM_PRECISION_FP32, 1, 2, 8);
    const fsfm_rates rates = fsfm_local_step_rates(s, 4);
    assert_true(rates.product_flop == 247e9);
    again.count = 0;
    assert_null(fsfm_local_machine_choose(&again, FSFM_PRECISION_FP32, 1, 2, 8));
    for (int i = 0; i < FSFM_LOCAL_STEPS_MAX + 3; i++) {
        const fsfm_local_step more = step_of("vit_t16", "fp32", i + 1, 7);
        fsfm_local_machine_put(&again, &more);
    }
    assert_true(again.count == FSFM_LOCAL_STEPS_MAX && again.steps[0].threads == 4);
    const char wrong[] = "steps:\n  - preset: vit_t16\n    threads: 0\n";
    assert_ok(fsfm_file_write(path, wrong, strlen(wrong), &err), &err);
    assert_fails(fsfm_local_machine_read(path, &again, &err), FSFM_ERR_ARG, &err,
                 "local.yaml:3:14: threads: expected a whole number of at least 1, found '0'");
    remove_folder(folder);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fabs(want))) fail_msg("got %.17g, want %.17g", got, want);
}

/* 1 GB of gradients in one bucket; 100 GB/s inside, 10 GB/s between. */
static void test_exchange(void **state)
{
    (void)state;
    fsfm_exchange_setup setup = {1, 8, 1e9, 1e9, 100e9, 10e9, 0, 0};
    fsfm_exchange_time t = fsfm_exchange_time_model(&setup);
    assert_true(t.total_s == 0 && t.nodes == 1);
    setup.ranks = 8; /* 2 x 7/8 of it */
    t = fsfm_exchange_time_model(&setup);
    near(t.inside_s, 1.75 / 100);
    assert_true(t.between_s == 0 && t.nodes == 1);
    setup.ranks = 16; /* and an eighth of it between two nodes: 2 x 1/2 */
    t = fsfm_exchange_time_model(&setup);
    near(t.inside_s, 1.75 / 100);
    near(t.between_s, 0.125 / 10);
    near(t.total_s, t.inside_s + t.between_s);
    assert_int_equal(t.nodes, 2);
    setup.ranks_per_node = 1; /* a ring of 16 */
    t = fsfm_exchange_time_model(&setup);
    near(t.total_s, 2.0 * 15 / 16 / 10);
    assert_false(t.is_tree);
    setup.network_latency_s =
        1e-3; /* 30 messages one after another; a tree has 2 x 4, and sends all bytes twice */
    t = fsfm_exchange_time_model(&setup);
    near(t.total_s, 8e-3 + 2.0 / 10);
    assert_true(t.is_tree);
    setup.ranks = setup.ranks_per_node = 8;
    setup.node_latency_s = 1e-3;
    setup.bucket_bytes = 0.3e9; /* four buckets of 14 messages each */
    t = fsfm_exchange_time_model(&setup);
    near(t.buckets, 4);
    near(t.total_s, 4 * 14e-3 + 1.75 / 100);
}

/* Ten buckets of a second each, of which half can only begin while the encoder's backward goes on. */
static void test_exposed(void **state)
{
    (void)state;
    const fsfm_exchange_time t = {.buckets = 10, .total_s = 10};
    near(fsfm_exchange_exposed_s(&t, 0, 0.5), 10); /* backward is over when the first one begins */
    near(fsfm_exchange_exposed_s(&t, 4, 0.5), 6);
    near(fsfm_exchange_exposed_s(&t, 100, 0.5), 1); /* hidden but for the last bucket */
    near(fsfm_exchange_exposed_s(&t, 9, 1),
         0.9 + 10 - 9); /* the first of all waits for a tenth of backward */
    const fsfm_exchange_time none = {.buckets = 1, .total_s = 0};
    assert_true(fsfm_exchange_exposed_s(&none, 3, 0.7) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpu),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_exposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
