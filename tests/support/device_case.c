/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/device_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/bfloat16.h"
#include "tests/support/device_choice.h"

static uint64_t seed(void)
{
    const char *given = getenv("FSFM_TEST_SEED");
    return given ? strtoull(given, NULL, 10) : 1;
}

static bool is_set(const char *variable, const char *value)
{
    const char *given = getenv(variable);
    return given && strcmp(given, value) == 0;
}

static fsfm_status open_device(int threads, fsfm_device **dev, char note[160], fsfm_error *err)
{
    const fsfm_device_options options = {
        .kind = device_choice(),
        .precision = is_set("FSFM_TEST_PRECISION", "bf16") ? FSFM_PRECISION_BF16 : FSFM_PRECISION_FP32,
        .threads = threads};
    return fsfm_device_open(&options, dev, note, err);
}

int case_skips(void)
{
    fsfm_device *dev;
    fsfm_error err;
    char note[160];
    const fsfm_status st = open_device(1, &dev, note, &err);
    fsfm_device_close(&dev);
    /* A plugin that was named has to be there. */
    const bool no_cuda =
        st == FSFM_ERR_DEVICE && device_choice() == FSFM_DEVICE_CUDA && !getenv("FSFM_CUDA_PLUGIN");
    if (!no_cuda && note[0] == '\0') return 0; /* other failures are for the tests to report */
    print_message("skipped: %s\n", no_cuda ? err.message : note);
    return 77;
}

void case_begin(device_case *c, int threads, uint64_t sample)
{
    char note[160];
    memset(c, 0, sizeof *c);
    assert_ok(open_device(threads, &c->dev, note, &c->err), &c->err);
    assert_string_equal(note, ""); /* else main should have asked case_skips() */
    c->is_bf16 = c->dev->precision == FSFM_PRECISION_BF16;
    c->random = fsfm_random_stream(seed(), FSFM_RANDOM_TEST, 0, sample);
}

void case_end(device_case *c)
{
    for (int i = 0; i < c->arrays_used; i++) {
        c->dev->ops->free(c->dev, c->arrays[i].dev);
        free(c->arrays[i].want);
        free(c->arrays[i].squares);
    }
    for (int i = 0; i < c->bytes_used; i++) c->dev->ops->free(c->dev, c->bytes[i].dev);
    fsfm_device_close(&c->dev);
}

static size_t array_bytes(const device_case *c, const case_array *array)
{
    return (size_t)array->count * (array->kind == CASE_ACTS ? c->dev->act_bytes : sizeof(float));
}

static uint64_t add_to_hash(device_case *c, uint64_t hash, const void *dev, size_t size_bytes)
{
    unsigned char *got = malloc(size_bytes + 1);
    assert_non_null(got);
    assert_ok(c->dev->ops->download(c->dev, got, dev, size_bytes, &c->err), &c->err);
    for (size_t i = 0; i < size_bytes; i++) hash = (hash ^ got[i]) * 0x100000001b3u;
    free(got);
    return hash;
}

/* FNV-1a over all memory as the device has it. */
static uint64_t case_hash(device_case *c)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < c->arrays_used; i++)
        hash = add_to_hash(c, hash, c->arrays[i].dev, array_bytes(c, &c->arrays[i]));
    for (int i = 0; i < c->bytes_used; i++)
        hash = add_to_hash(c, hash, c->bytes[i].dev, c->bytes[i].size_bytes);
    return hash;
}

void case_run(case_fn fn, const int64_t *sizes)
{
    static const int threads[] = {1, 2, 5};
    uint64_t first = 0;
    for (int i = 0; i < 3; i++) {
        device_case c;
        case_begin(&c, threads[i], (uint64_t)sizes[0]);
        if (i == 0)
            print_message("seed %" PRIu64 ", sizes %" PRId64 " ..., %s\n", seed(), sizes[0], c.dev->name);
        fn(&c, sizes);
        const uint64_t hash = case_hash(&c);
        if (i == 0) first = hash;
        if (hash != first) fail_msg("other bits on %d threads than on 1", threads[i]);
        case_end(&c);
    }
}

void case_run_counts(case_fn fn, int64_t second)
{
    static const int64_t counts[] = {1, 3, 17, 1000, 16384, 16385, 100003};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        case_run(fn, (const int64_t[]){counts[i], second});
}

static case_array *add_array(device_case *c, case_kind kind, int64_t count)
{
    assert_in_range(c->arrays_used, 0, sizeof c->arrays / sizeof *c->arrays - 1);
    case_array *array = &c->arrays[c->arrays_used++];
    *array = (case_array){.kind = kind, .count = count, .want = calloc((size_t)count + 1, sizeof(double))};
    assert_non_null(array->want);
    assert_ok(c->dev->ops->alloc(c->dev, array_bytes(c, array), &array->dev, &c->err), &c->err);
    return array;
}

/* x as the array stores it. */
static double stored(const device_case *c, const case_array *array, double x)
{
    return array->kind == CASE_ACTS && c->is_bf16 ? bf16_nearest(x) : (double)(float)x;
}

/* count numbers in compute precision at dev. */
static void acts_upload(device_case *c, void *dev, const float *values, int64_t count)
{
    const size_t size_bytes = (size_t)count * c->dev->act_bytes;
    uint16_t *bits = malloc((size_t)count * sizeof *bits + 1);
    assert_non_null(bits);
    for (int64_t i = 0; i < count; i++) bits[i] = bf16_bits((double)values[i]);
    assert_ok(c->dev->ops->upload(c->dev, dev, c->is_bf16 ? (const void *)bits : values, size_bytes, &c->err),
              &c->err);
    free(bits);
}

static float *acts_download(device_case *c, const void *dev, int64_t count)
{
    float *values = malloc((size_t)count * sizeof *values + 1);
    uint16_t *bits = malloc((size_t)count * sizeof *bits + 1);
    assert_true(values && bits);
    assert_ok(c->dev->ops->download(c->dev, c->is_bf16 ? (void *)bits : values, dev,
                                    (size_t)count * c->dev->act_bytes, &c->err),
              &c->err);
    for (int64_t i = 0; c->is_bf16 && i < count; i++) values[i] = (float)bf16_value(bits[i]);
    free(bits);
    return values;
}

float *case_download(device_case *c, const case_array *array)
{
    const fsfm_device_ops *ops = c->dev->ops;
    if (array->kind == CASE_ACTS) return acts_download(c, array->dev, array->count);
    float *got = malloc((size_t)array->count * sizeof *got + 1);
    assert_non_null(got);
    if (array->kind == CASE_FLOATS)
        assert_ok(ops->download(c->dev, got, array->dev, array_bytes(c, array), &c->err), &c->err);
    else
        assert_ok(ops->get_matrix(c->dev, array->count, array->dev, got, &c->err), &c->err);
    return got;
}

case_array *case_given(device_case *c, case_kind kind, const float *values, int64_t count)
{
    const fsfm_device_ops *ops = c->dev->ops;
    case_array *array = add_array(c, kind, count);
    if (kind == CASE_ACTS)
        acts_upload(c, array->dev, values, count);
    else if (kind == CASE_FLOATS)
        assert_ok(ops->upload(c->dev, array->dev, values, array_bytes(c, array), &c->err), &c->err);
    else
        assert_ok(ops->set_matrix(c->dev, count, array->dev, values, &c->err), &c->err);
    for (int64_t i = 0; i < count; i++) array->want[i] = stored(c, array, (double)values[i]);
    if (kind == CASE_WEIGHTS) {
        float *read = acts_download(c, array->dev, count);
        for (int64_t i = 0; i < count; i++) array->want[i] = (double)read[i];
        free(read);
    }
    return array;
}

case_array *case_random(device_case *c, case_kind kind, int64_t count, double scale)
{
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        const double uniform = (double)fsfm_random_u32(&c->random) / 4294967296.0 - 0.5;
        values[i] = (float)(uniform * sqrt(12.0) * scale);
    }
    case_array *array = case_given(c, kind, values, count);
    free(values);
    return array;
}

case_array *case_output(device_case *c, case_kind kind, int64_t count)
{
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = NAN;
    case_array *array = case_given(c, kind, values, count);
    memset(array->want, 0, (size_t)count * sizeof *array->want);
    free(values);
    return array;
}

case_array *case_target(device_case *c, case_kind kind, int64_t count, bool adds)
{
    return adds ? case_random(c, kind, count, 1.0) : case_output(c, kind, count);
}

void case_zero(device_case *c, case_array *array)
{
    memset(array->want, 0, (size_t)array->count * sizeof *array->want);
    assert_ok(c->dev->ops->zero(c->dev, array->dev, array_bytes(c, array), &c->err), &c->err);
}

void *case_at(const device_case *c, const case_array *array, int64_t count)
{
    const size_t element_bytes = array->kind == CASE_FLOATS ? sizeof(float) : c->dev->act_bytes;
    return (char *)array->dev + (size_t)count * element_bytes;
}

double *case_squares(case_array *array)
{
    array->squares = calloc((size_t)array->count + 1, sizeof *array->squares);
    assert_non_null(array->squares);
    return array->squares;
}

void *case_bytes(device_case *c, const void *data, size_t size_bytes)
{
    void *dev = NULL;
    assert_in_range(c->bytes_used, 0, sizeof c->bytes / sizeof *c->bytes - 1);
    assert_ok(c->dev->ops->alloc(c->dev, size_bytes, &dev, &c->err), &c->err);
    assert_ok(c->dev->ops->upload(c->dev, dev, data, size_bytes, &c->err), &c->err);
    c->bytes[c->bytes_used].dev = dev;
    c->bytes[c->bytes_used++].size_bytes = size_bytes;
    return dev;
}

double case_gelu_rtol(const device_case *c)
{
    return c->is_bf16 ? 1e-5 : 2e-7;
}

double case_gelu_atol(const device_case *c)
{
    return c->is_bf16 ? 5e-6 : 1e-7;
}

double case_gelu_slope_atol(const device_case *c)
{
    return c->is_bf16 ? 2e-5 : 2e-7;
}

/* Written so that NaN fails on either side. */
void case_check(device_case *c, const case_array *array, const char *name, double rtol, double atol)
{
    float *got = case_download(c, array);
    int64_t bad = -1;
    double tolerance = 0.0;
    for (int64_t i = 0; i < array->count && bad < 0; i++) {
        const double want = array->want[i];
        tolerance = atol + rtol * fabs(want);
        if (c->is_bf16 && array->squares) tolerance += 2.5 * BF16_ROUNDING * sqrt(array->squares[i]);
        if (!((double)got[i] >= stored(c, array, want - tolerance) &&
              (double)got[i] <= stored(c, array, want + tolerance)))
            bad = i;
    }
    if (bad >= 0)
        print_error("entry %" PRId64 ": got %.9g, want %.9g within %.3g and a rounding\n", bad,
                    (double)got[bad], array->want[bad], tolerance);
    free(got);
    if (bad >= 0) fail_msg("%s differs from the reference", name);
}

void case_check_equal(device_case *c, const case_array *a, const case_array *b, const char *name)
{
    assert_int_equal(a->count, b->count);
    float *x = case_download(c, a), *y = case_download(c, b);
    const bool is_equal = memcmp(x, y, (size_t)a->count * sizeof *x) == 0;
    free(x);
    free(y);
    if (!is_equal) fail_msg("%s: other bits", name);
}

void case_check_double(device_case *c, const double *dev, double want, double tol)
{
    double got;
    assert_ok(c->dev->ops->download(c->dev, &got, dev, sizeof got, &c->err), &c->err);
    if (!(fabs(got - want) <= tol * fabs(want))) fail_msg("got %.17g, want %.17g", got, want);
}
