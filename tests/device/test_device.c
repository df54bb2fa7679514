/* SPDX-License-Identifier: Apache-2.0
 * Opening; the device's face in fp32; and what is allocated: nothing by a step once its shapes were seen. */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

#if defined __SANITIZE_ADDRESS__
#define COUNTS_ALLOCATIONS 0 /* the sanitizer has an allocator of its own */
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#if !defined COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

static fsfm_status open_device(fsfm_device_kind kind, fsfm_precision precision, int threads,
                               fsfm_device **dev, char note[160], fsfm_error *err)
{
    const fsfm_device_options options = {.kind = kind, .precision = precision, .threads = threads};
    return fsfm_device_open(&options, dev, note, err);
}

static _Atomic int64_t allocations;

#if COUNTS_ALLOCATIONS
static _Atomic int64_t fail_at = -1; /* which of the coming allocations fails; -1: none */

/* These stand before the C library's for the whole program, its libraries included. */
static bool granted(const void *caller)
{
    Dl_info info, own;
    const bool known = dladdr(caller, &info) != 0 && info.dli_fname && dladdr(&fail_at, &own) != 0;
    allocations++;
    if (!known || info.dli_fbase != own.dli_fbase)
        return true; /* only what this program itself asks for may fail */
    return fail_at < 0 || fail_at-- != 0;
}

void *__libc_malloc(size_t size_bytes);
void *__libc_calloc(size_t count, size_t size_bytes);
void *__libc_realloc(void *old, size_t size_bytes);
void *__libc_memalign(size_t align, size_t size_bytes);

void *malloc(size_t size_bytes)
{
    return granted(__builtin_return_address(0)) ? __libc_malloc(size_bytes) : NULL;
}

void *calloc(size_t count, size_t size_bytes)
{
    return granted(__builtin_return_address(0)) ? __libc_calloc(count, size_bytes) : NULL;
}

void *realloc(void *old, size_t size_bytes)
{
    return granted(__builtin_return_address(0)) ? __libc_realloc(old, size_bytes) : NULL;
}

void *aligned_alloc(size_t align, size_t size_bytes)
{
    return granted(__builtin_return_address(0)) ? __libc_memalign(align, size_bytes) : NULL;
}

int posix_memalign(void **out, size_t align, size_t size_bytes)
{
    *out = granted(__builtin_return_address(0)) ? __libc_memalign(align, size_bytes) : NULL;
    return *out ? 0 : ENOMEM;
}

/* Opening, and the first product, with the k-th allocation failing, for every k. */
static void memory_may_run_out(void **state)
{
    (void)state;
    bool all_went_well = false;
    for (int64_t k = 0; !all_went_well; k++) {
        fsfm_device *dev = NULL;
        fsfm_error err;
        char note[160];
        float x[6] = {0}, weight[8] = {0}, out[12];
        const fsfm_linear_args args = {.N = 3, .Cin = 2, .Cout = 4, .x = x, .weight = weight, .out = out};
        fail_at = k;
        fsfm_status st = open_device(FSFM_DEVICE_CPU, FSFM_PRECISION_FP32, 2, &dev, note, &err);
        if (st == FSFM_OK) st = dev->ops->linear(dev, &args, &err);
        all_went_well = fail_at >= 0;
        fail_at = -1;
        if (all_went_well) {
            assert_ok(st, &err);
            print_message("%d allocations\n", (int)k);
            assert_true(k >= 7); /* device, scratch, pool (3), scratch of both threads */
        } else {
            assert_int_equal(st, FSFM_ERR_MEMORY);
        }
        fsfm_device_close(&dev);
        assert_in_range(k, 0, 100);
    }
}
#endif

static void device_says_what_it_is(void **state)
{
    (void)state;
    fsfm_device *dev;
    fsfm_error err;
    char note[160];
    assert_ok(open_device(FSFM_DEVICE_CPU, FSFM_PRECISION_FP32, 2, &dev, note, &err), &err);
    assert_int_equal(dev->kind, FSFM_DEVICE_CPU);
    assert_int_equal(dev->threads, 2);
    assert_true(dev->memory_is_host);
    assert_string_equal(note, "");
    assert_non_null(strstr(dev->name, ", 2 threads)"));
    const char *limit = getenv("ONEDNN_MAX_CPU_ISA");
    if (limit && strcmp(limit, "AVX2") == 0) assert_null(strstr(dev->isa, "avx512"));
    if (limit && strcmp(limit, "SSE41") == 0) assert_null(strstr(dev->isa, "avx"));
    assert_int_equal(dev->act_bytes, sizeof(float));
    fsfm_device_close(&dev);
    assert_null(dev);
    fsfm_device_close(&dev);
}

/* Whatever the processor can do, the limit of the environment is kept. */
static bool is_limited(void)
{
    const char *limit = getenv("ONEDNN_MAX_CPU_ISA");
    return limit && (strcmp(limit, "AVX2") == 0 || strcmp(limit, "SSE41") == 0);
}

static void bf16_falls_back_with_a_note(void **state)
{
    (void)state;
    fsfm_device *dev;
    fsfm_error err;
    char note[160];
    assert_ok(open_device(FSFM_DEVICE_CPU, FSFM_PRECISION_BF16, 1, &dev, note, &err), &err);
    if (is_limited()) assert_int_equal(dev->precision, FSFM_PRECISION_FP32);
    if (dev->precision == FSFM_PRECISION_FP32) {
        assert_int_equal(dev->act_bytes, 4);
        assert_string_equal(
            note, "bf16 needs a processor with AVX512_BF16, which this one lacks: computing in fp32");
        assert_null(strstr(dev->isa, "bf16"));
    } else {
        assert_int_equal(dev->act_bytes, 2);
        assert_string_equal(note, "");
        assert_non_null(strstr(dev->isa, "bf16")); /* other bits than in fp32 */
    }
    fsfm_device_close(&dev);
}

static void what_is_not_there_is_refused(void **state)
{
    (void)state;
    fsfm_device *dev = (fsfm_device *)&dev;
    fsfm_error err;
    char note[160];
    fsfm_status st = open_device(FSFM_DEVICE_CPU, FSFM_PRECISION_FP32, 0, &dev, note, &err);
    assert_fails(st, FSFM_ERR_ARG, &err, "at least 1 thread, got 0");
    assert_null(dev);
    st = open_device(FSFM_DEVICE_CUDA, FSFM_PRECISION_FP32, 1, &dev, note, &err);
    if (st == FSFM_OK)
        fsfm_device_close(&dev);
    else
        assert_fails(st, FSFM_ERR_DEVICE, &err, "device cuda: ");
}

/* With a GPU that can be had, and with a plugin that cannot. */
static void auto_is_a_gpu_where_there_is_one(void **state)
{
    (void)state;
    fsfm_device *dev;
    fsfm_error err;
    char note[160];
    assert_ok(open_device(FSFM_DEVICE_AUTO, FSFM_PRECISION_BF16, 2, &dev, note, &err), &err);
    if (dev->kind == FSFM_DEVICE_CUDA) {
        assert_false(dev->memory_is_host);
        assert_true(dev->memory_bytes > 0 && dev->place[0]);
        assert_int_equal(dev->precision, FSFM_PRECISION_BF16);
        assert_int_equal(dev->act_bytes, 2);
        assert_memory_equal(dev->name, "cuda:0 (", 8);
        assert_memory_equal(dev->isa, "sm_", 3);
    }
    fsfm_device_close(&dev);

    const char *given = getenv("FSFM_CUDA_PLUGIN");
    char *kept = given ? strdup(given) : NULL;
    setenv("FSFM_CUDA_PLUGIN", "/not/there.so", 1);
    fsfm_status st = open_device(FSFM_DEVICE_CUDA, FSFM_PRECISION_FP32, 1, &dev, note, &err);
    assert_fails(st, FSFM_ERR_DEVICE, &err, "device cuda: /not/there.so: cannot open");
    assert_ok(open_device(FSFM_DEVICE_AUTO, FSFM_PRECISION_FP32, 1, &dev, note, &err), &err);
    assert_int_equal(dev->kind, FSFM_DEVICE_CPU);
    assert_non_null(strstr(note, "no GPU used: /not/there.so"));
    fsfm_device_close(&dev);
    unsetenv("FSFM_CUDA_PLUGIN");
    if (kept) setenv("FSFM_CUDA_PLUGIN", kept, 1);
    free(kept);
}

/* A rank's number on its machine, however many GPUs there are. */
static void any_index_is_a_gpu(void **state)
{
    (void)state;
    fsfm_device *dev;
    fsfm_error err;
    char note[160];
    for (int index = 0; index < 9; index += 4) {
        const fsfm_device_options options = {.kind = FSFM_DEVICE_AUTO, .threads = 1, .index = index};
        assert_ok(fsfm_device_open(&options, &dev, note, &err), &err);
        fsfm_device_close(&dev);
    }
}

/* Of several, which the emulated machine has: each index opens its own, in the order in which the process
 * sees them. */
static void each_index_has_its_gpu(void **state)
{
    (void)state;
    static const struct {
        const char *visible;
        int index;
        const char *name, *place; /* NULL: there is none */
    } cases[] = {{NULL, 0, "cuda:0 (emulated)", "emulated 0"},
                 {NULL, 2, "cuda:2 (emulated)", "emulated 2"},
                 {NULL, 4, "cuda:1 (emulated)", "emulated 1"},
                 {"2,0", 0, "cuda:0 (emulated)", "emulated 2"},
                 {"2,0", 1, "cuda:1 (emulated)", "emulated 0"},
                 {"1,7,2", 1, "cuda:0 (emulated)", "emulated 1"},
                 {"", 0, NULL, NULL}};
    const char *given = getenv("CUDA_VISIBLE_DEVICES"), *plugin = getenv("FSFM_CUDA_PLUGIN");
    if (!plugin || !strstr(plugin, "emulated")) skip();
    char *kept = given ? strdup(given) : NULL;
    setenv("FSFM_EMULATION_DEVICES", "3", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fsfm_device_options options = {.kind = FSFM_DEVICE_CUDA, .threads = 1, .index = cases[i].index};
        fsfm_device *dev;
        fsfm_error err;
        char note[160], place[40] = "";
        if (cases[i].visible)
            setenv("CUDA_VISIBLE_DEVICES", cases[i].visible, 1);
        else
            unsetenv("CUDA_VISIBLE_DEVICES");
        const fsfm_status st = fsfm_device_open(&options, &dev, note, &err);
        if (!cases[i].name) {
            assert_int_equal(st, FSFM_ERR_DEVICE);
            assert_non_null(strstr(err.message, "no GPU to be had: no CUDA-capable device is detected"));
            continue;
        }
        assert_ok(st, &err);
        for (size_t b = 0; b < strlen(cases[i].place); b++)
            snprintf(place + 2 * b, 3, "%02x", (unsigned)cases[i].place[b]);
        assert_string_equal(dev->name, cases[i].name);
        assert_memory_equal(dev->place, place, strlen(place));
        fsfm_device_close(&dev);
    }
    unsetenv("FSFM_EMULATION_DEVICES");
    unsetenv("CUDA_VISIBLE_DEVICES");
    if (kept) setenv("CUDA_VISIBLE_DEVICES", kept, 1);
    free(kept);
}

/* In bf16 a product by the device, then one of the same shape by its whole: of floats, and of what the device
 * has made before. sizes: N, Cin, Cout */
static void whole_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    fsfm_device *whole = c->dev->whole;
    case_array *x = case_random(c, CASE_FLOATS, N * Cin, 1.0), *out = case_output(c, CASE_FLOATS, N * Cout);
    const case_array *weight = case_random(c, CASE_FLOATS, Cout * Cin, 1.0),
                     *bias = case_random(c, CASE_FLOATS, Cout, 1.0),
                     *added = case_random(c, CASE_ACTS, N * Cin, 1.0);
    const fsfm_linear_args rounded = {.N = N,
                                      .Cin = Cin,
                                      .Cout = Cout,
                                      .x = added->dev,
                                      .weight = case_random(c, CASE_WEIGHTS, Cout * Cin, 1.0)->dev,
                                      .bias = bias->dev,
                                      .out = case_output(c, CASE_ACTS, N * Cout)->dev};
    const fsfm_linear_args args = {.N = N,
                                   .Cin = Cin,
                                   .Cout = Cout,
                                   .x = x->dev,
                                   .weight = weight->dev,
                                   .bias = bias->dev,
                                   .out = out->dev};
    assert_int_equal(whole->precision, FSFM_PRECISION_FP32);
    assert_int_equal(whole->act_bytes, sizeof(float));
    assert_ptr_equal(whole->whole, whole);
    assert_ok(c->dev->ops->linear(c->dev, &rounded, &c->err), &c->err);
    assert_ok(c->dev->ops->add_act(c->dev, N * Cin, added->dev, x->dev, &c->err), &c->err);
    assert_ok(whole->ops->linear(whole, &args, &c->err), &c->err);
    for (int64_t i = 0; i < N * Cin; i++) x->want[i] = (double)(float)(x->want[i] + added->want[i]);
    ref_linear(N, Cin, Cout, x->want, weight->want, bias->want, NULL, out->want);
    case_check(c, out, "out", 1e-6, 1e-5);
}

static void whole_computes_in_fp32(void **state)
{
    (void)state;
    case_run(whole_case, (const int64_t[]){33, 24, 40});
    case_run(whole_case, (const int64_t[]){5, 7, 3}); /* not for libraries of GPUs */
}

enum { B = 3, T = 37, H = 4, D = 12, C = H * D, N = B * T };

/* What step() works on. Its numbers do not matter. */
typedef struct {
    case_array *stream, *x, *y, *hidden, *qkv, *dqkv, *matrix, *weight, *bias, *mean, *rstd;
    int32_t *slot;
    double *sum;
} step_arrays;

static step_arrays make_arrays(device_case *c)
{
    int32_t slot[N];
    for (int i = 0; i < N; i++) slot[i] = i % T % 2 ? i % T / 2 : -1;
    const double zero = 0.0;
    return (step_arrays){.stream = case_random(c, CASE_FLOATS, N * C, 0.1),
                         .x = case_random(c, CASE_ACTS, N * C, 0.1),
                         .y = case_random(c, CASE_ACTS, 2 * N * C, 0.1),
                         .hidden = case_random(c, CASE_ACTS, N * 3 * C, 0.1),
                         .qkv = case_random(c, CASE_ACTS, N * 3 * C, 0.1),
                         .dqkv = case_random(c, CASE_ACTS, N * 3 * C, 0.1),
                         .matrix = case_random(c, CASE_MATRIX, 3 * C * C, 0.1),
                         .weight = case_random(c, CASE_FLOATS, 3 * C * C, 0.1),
                         .bias = case_random(c, CASE_FLOATS, 3 * C, 0.1),
                         .mean = case_random(c, CASE_FLOATS, B * H * T, 0.1),
                         .rstd = case_random(c, CASE_FLOATS, B * H * T, 0.1),
                         .slot = case_bytes(c, slot, sizeof slot),
                         .sum = case_bytes(c, &zero, sizeof zero)};
}

static void step_linear(device_case *c, const step_arrays *a)
{
    const fsfm_device_ops *ops = c->dev->ops;
    const fsfm_linear_args linear = {.N = N,
                                     .Cin = C,
                                     .Cout = 3 * C,
                                     .x = a->x->dev,
                                     .weight = a->matrix->dev,
                                     .bias = a->bias->dev,
                                     .out = a->hidden->dev,
                                     .active = a->qkv->dev};
    const fsfm_linear_args add = {.N = N,
                                  .Cin = 3 * C,
                                  .Cout = C,
                                  .x = a->qkv->dev,
                                  .weight = a->matrix->dev,
                                  .out_is_float = true,
                                  .residual = a->stream->dev,
                                  .out = a->stream->dev};
    const fsfm_linear_backward_args back = {.N = N,
                                            .Cin = 3 * C,
                                            .Cout = C,
                                            .weight = a->matrix->dev,
                                            .dout = a->y->dev,
                                            .dx = a->dqkv->dev,
                                            .dweight = a->weight->dev,
                                            .dbias = a->bias->dev,
                                            .hidden = a->hidden->dev,
                                            .active = a->qkv->dev};
    assert_ok(ops->linear(c->dev, &linear, &c->err), &c->err);
    assert_ok(ops->linear(c->dev, &add, &c->err), &c->err);
    assert_ok(ops->linear_backward(c->dev, &back, &c->err), &c->err);
}

static void step_attention(device_case *c, const step_arrays *a)
{
    const fsfm_device_ops *ops = c->dev->ops;
    const fsfm_attention_args attention = {.B = B,
                                           .Tq = T,
                                           .T = T,
                                           .H = H,
                                           .D = D,
                                           .last_multiplicity = 1.0f,
                                           .q = a->qkv->dev,
                                           .k = case_at(c, a->qkv, C),
                                           .v = case_at(c, a->qkv, 2 * C),
                                           .q_stride = 3 * C,
                                           .kv_stride = 3 * C,
                                           .out = a->y->dev,
                                           .log_sum = a->mean->dev};
    const fsfm_attention_backward_args back = {.B = B,
                                               .Tq = T,
                                               .T = T,
                                               .H = H,
                                               .D = D,
                                               .last_multiplicity = 1.0f,
                                               .q = attention.q,
                                               .k = attention.k,
                                               .v = attention.v,
                                               .q_stride = 3 * C,
                                               .kv_stride = 3 * C,
                                               .out = a->y->dev,
                                               .dout = a->x->dev,
                                               .log_sum = a->mean->dev,
                                               .dq = a->dqkv->dev,
                                               .dk = case_at(c, a->dqkv, C),
                                               .dv = case_at(c, a->dqkv, 2 * C)};
    assert_ok(ops->attention(c->dev, &attention, &c->err), &c->err);
    assert_ok(ops->attention_backward(c->dev, &back, &c->err), &c->err);
}

static void step_rows(device_case *c, const step_arrays *a)
{
    const fsfm_device_ops *ops = c->dev->ops;
    const fsfm_layernorm_args norm = {.N = N,
                                      .C = C,
                                      .eps = 1e-6f,
                                      .x_is_float = true,
                                      .x = a->stream->dev,
                                      .weight = a->weight->dev,
                                      .bias = a->bias->dev,
                                      .out = a->y->dev,
                                      .mean = a->mean->dev,
                                      .rstd = a->rstd->dev};
    const fsfm_layernorm_backward_args norm_back = {.N = N,
                                                    .C = C,
                                                    .x_is_float = true,
                                                    .x = a->stream->dev,
                                                    .dout = a->y->dev,
                                                    .weight = a->weight->dev,
                                                    .mean = a->mean->dev,
                                                    .rstd = a->rstd->dev,
                                                    .dx = a->y->dev,
                                                    .dweight = a->weight->dev,
                                                    .dbias = a->bias->dev};
    const fsfm_unshuffle_backward_args order = {.B = B,
                                                .K = T / 2,
                                                .L = T,
                                                .C = C,
                                                .dout = a->y->dev,
                                                .slot = a->slot,
                                                .dx = a->x->dev,
                                                .dfill = a->bias->dev};
    const fsfm_mean_args mean = {
        .B = B, .T = T, .C = C, .last_multiplicity = 1.0f, .x = a->x->dev, .out = a->y->dev};
    assert_ok(ops->layernorm(c->dev, &norm, &c->err), &c->err);
    assert_ok(ops->layernorm_backward(c->dev, &norm_back, &c->err), &c->err);
    assert_ok(ops->unshuffle_backward(c->dev, &order, &c->err), &c->err);
    assert_ok(ops->mean(c->dev, &mean, &c->err), &c->err);
    assert_ok(ops->norm_squared(c->dev, 3 * C * C, a->weight->dev, a->sum, &c->err), &c->err);
}

/* The operations that keep anything from call to call. */
static void step(device_case *c, const step_arrays *a)
{
    step_linear(c, a);
    step_attention(c, a);
    step_rows(c, a);
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        device_case c;
        case_begin(&c, threads, 0);
        if (c.dev->kind == FSFM_DEVICE_CUDA) { /* its libraries may */
            case_end(&c);
            skip();
        }
        const step_arrays arrays = make_arrays(&c);
        const int64_t at_first = allocations;
        for (int i = 0; i < 3; i++) step(&c, &arrays);
        const int64_t before = allocations;
        if (COUNTS_ALLOCATIONS) assert_true(before > at_first); /* the counter counts */
        for (int i = 0; i < 5; i++) step(&c, &arrays);
        assert_int_equal(allocations, before);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_says_what_it_is),
        cmocka_unit_test(bf16_falls_back_with_a_note),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(auto_is_a_gpu_where_there_is_one),
        cmocka_unit_test(any_index_is_a_gpu),
        cmocka_unit_test(each_index_has_its_gpu),
        cmocka_unit_test(whole_computes_in_fp32),
        cmocka_unit_test(steps_allocate_nothing),
#if COUNTS_ALLOCATIONS
        cmocka_unit_test(memory_may_run_out)
#endif
    };
    return case_skips() ? 77 : cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
