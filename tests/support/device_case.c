/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/device_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed(void)
{
    const char *given = getenv("FSFM_TEST_SEED");
    return given ? strtoull(given, NULL, 10) : 1;
}

void case_begin(device_case *c, int threads, uint64_t sample)
{
    const char *name = getenv("FSFM_TEST_DEVICE");
    const bool cuda = name && strcmp(name, "cuda") == 0;
    char note[160];
    memset(c, 0, sizeof *c);
    const fsfm_status st = fsfm_device_open(cuda ? FSFM_DEVICE_CUDA : FSFM_DEVICE_CPU, FSFM_PRECISION_FP32,
                                            threads, &c->dev, note, &c->err);
    if (cuda && st == FSFM_ERR_DEVICE) skip();
    assert_ok(st, &c->err);
    c->random = fsfm_random_stream(seed(), FSFM_RANDOM_TEST, 0, sample);
}

void case_end(device_case *c)
{
    for (int i = 0; i < c->arrays_used; i++) {
        c->dev->ops->free(c->dev, c->arrays[i].dev);
        free(c->arrays[i].want);
    }
    for (int i = 0; i < c->bytes_used; i++) c->dev->ops->free(c->dev, c->bytes[i].dev);
    fsfm_device_close(&c->dev);
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
        hash = add_to_hash(c, hash, c->arrays[i].dev, (size_t)c->arrays[i].count * sizeof(float));
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

static case_array *add_array(device_case *c, const float *values, int64_t count)
{
    const size_t size_bytes = (size_t)count * sizeof *values;
    assert_in_range(c->arrays_used, 0, sizeof c->arrays / sizeof *c->arrays - 1);
    case_array *array = &c->arrays[c->arrays_used++];
    void *dev = NULL;
    assert_ok(c->dev->ops->alloc(c->dev, size_bytes, &dev, &c->err), &c->err);
    assert_ok(c->dev->ops->upload(c->dev, dev, values, size_bytes, &c->err), &c->err);
    *array = (case_array){.count = count, .dev = dev, .want = calloc((size_t)count, sizeof(double))};
    assert_non_null(array->want);
    return array;
}

case_array *case_random(device_case *c, int64_t count, double scale)
{
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        const double uniform = (double)fsfm_random_u32(&c->random) / 4294967296.0 - 0.5;
        values[i] = (float)(uniform * sqrt(12.0) * scale);
    }
    case_array *array = add_array(c, values, count);
    for (int64_t i = 0; i < count; i++) array->want[i] = (double)values[i];
    free(values);
    return array;
}

case_array *case_output(device_case *c, int64_t count)
{
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = NAN;
    case_array *array = add_array(c, values, count);
    free(values);
    return array;
}

case_array *case_target(device_case *c, int64_t count, bool adds)
{
    return adds ? case_random(c, count, 1.0) : case_output(c, count);
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

float *case_download(device_case *c, const case_array *array)
{
    const size_t size_bytes = (size_t)array->count * sizeof(float);
    float *got = malloc(size_bytes + 1);
    assert_non_null(got);
    assert_ok(c->dev->ops->download(c->dev, got, array->dev, size_bytes, &c->err), &c->err);
    return got;
}

void case_check(device_case *c, const case_array *array, const char *name, double rtol, double atol)
{
    float *got = case_download(c, array), *want = malloc((size_t)array->count * sizeof *want + 1);
    assert_non_null(want);
    for (int64_t i = 0; i < array->count; i++) want[i] = (float)array->want[i];
    const bool close = all_close(got, want, array->count, rtol, atol);
    free(got);
    free(want);
    if (!close) fail_msg("%s differs from the reference", name);
}

void case_check_double(device_case *c, const double *dev, double want, double tol)
{
    double got;
    assert_ok(c->dev->ops->download(c->dev, &got, dev, sizeof got, &c->err), &c->err);
    if (!(fabs(got - want) <= tol * fabs(want))) fail_msg("got %.17g, want %.17g", got, want);
}
