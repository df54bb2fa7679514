/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/peak.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/device/cpu/cpu_device.h"

/* A measurement is repeated at least so often, and for so long; the best counts. */
enum { RUNS_MIN = 5, RUNS_MAX = 200 };
static const double measure_s = 0.2;

enum { A, B, C, OPERANDS };

/* One product of whole matrices, ready to run. */
typedef struct {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[OPERANDS];
} product;

static dnnl_status_t describe(dnnl_memory_desc_t *desc, int64_t rows, int64_t columns, bool transposed,
                              dnnl_data_type_t type)
{
    const dnnl_dims_t shape = {rows, columns};
    const dnnl_dims_t strides = {transposed ? 1 : columns, transposed ? rows : 1};
    return dnnl_memory_desc_init_by_strides(desc, 2, shape, type, strides);
}

/* Gradients of weights, whose left factor is the transposed one, are floats in any precision. */
static dnnl_status_t describe_all(const fsfm_device *dev, const fsfm_product_shape *s,
                                  dnnl_memory_desc_t desc[OPERANDS])
{
    const dnnl_data_type_t type = dev->precision == FSFM_PRECISION_BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_status_t status = describe(&desc[A], s->M, s->K, s->a_transposed, type);
    if (status == dnnl_success) status = describe(&desc[B], s->K, s->N, s->b_transposed, type);
    if (status == dnnl_success)
        status = describe(&desc[C], s->M, s->N, false, s->a_transposed ? dnnl_f32 : type);
    return status;
}

static dnnl_status_t product_make(dnnl_engine_t engine, const dnnl_memory_desc_t desc[OPERANDS],
                                  void *const memory[OPERANDS], product *out)
{
    static const int names[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t plan = NULL;
    dnnl_status_t status = dnnl_matmul_desc_init(&matmul, &desc[A], &desc[B], NULL, &desc[C]);
    if (status == dnnl_success) status = dnnl_primitive_desc_create(&plan, &matmul, NULL, engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&out->primitive, plan);
    for (int i = 0; i < OPERANDS && status == dnnl_success; i++) {
        out->arguments[i].arg = names[i];
        status = dnnl_memory_create(&out->arguments[i].memory, &desc[i], engine, memory[i]);
    }
    if (plan) dnnl_primitive_desc_destroy(plan);
    return status;
}

static void product_destroy(product *p)
{
    for (int i = 0; i < OPERANDS; i++)
        if (p->arguments[i].memory) dnnl_memory_destroy(p->arguments[i].memory);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
}

/* Seconds of the fastest of several runs, after one to warm up. */
static dnnl_status_t product_time(const product *p, dnnl_stream_t stream, double *best_s)
{
    dnnl_status_t status = dnnl_primitive_execute(p->primitive, stream, OPERANDS, p->arguments);
    const double began_s = fsfm_clock_monotonic_s();
    double now_s = began_s;
    *best_s = INFINITY;
    for (int run = 0; status == dnnl_success && run < RUNS_MAX; run++) {
        const double before_s = now_s;
        status = dnnl_primitive_execute(p->primitive, stream, OPERANDS, p->arguments);
        if (status == dnnl_success) status = dnnl_stream_wait(stream);
        now_s = fsfm_clock_monotonic_s();
        *best_s = fmin(*best_s, now_s - before_s);
        if (run + 1 >= RUNS_MIN && now_s - began_s >= measure_s) break;
    }
    return status;
}

/* Matrices of ordinary small numbers. */
static fsfm_status allocate(const dnnl_memory_desc_t desc[OPERANDS], void *memory[OPERANDS], fsfm_error *err)
{
    for (int i = 0; i < OPERANDS; i++) {
        const size_t size_bytes = dnnl_memory_desc_get_size(&desc[i]);
        memory[i] = fsfm_cpu_memory(size_bytes);
        if (!memory[i])
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to measure a product: %zu bytes", size_bytes);
        memset(memory[i], 0x3c, size_bytes); /* 0.0115 both as float and as bfloat16 */
    }
    return FSFM_OK;
}

static fsfm_status measure_product(fsfm_cpu_device *cpu, dnnl_engine_t engine, dnnl_stream_t stream,
                                   const fsfm_product_shape *shape, double *gflops, fsfm_error *err)
{
    dnnl_memory_desc_t desc[OPERANDS];
    void *memory[OPERANDS] = {NULL};
    product p = {NULL, {{0}}};
    double best_s = INFINITY;
    fsfm_status st = FSFM_OK;
    dnnl_status_t status = describe_all(&cpu->base, shape, desc);
    if (status == dnnl_success) st = allocate(desc, memory, err);
    if (status == dnnl_success && st == FSFM_OK) status = product_make(engine, desc, memory, &p);
    if (status == dnnl_success && st == FSFM_OK) status = product_time(&p, stream, &best_s);
    if (status != dnnl_success)
        st =
            fsfm_fail(err, FSFM_ERR_DEVICE, "oneDNN failed in a product to measure (status %d)", (int)status);
    *gflops = 2e-9 * (double)shape->M * (double)shape->N * (double)shape->K / best_s;
    product_destroy(&p);
    for (int i = 0; i < OPERANDS; i++) free(memory[i]);
    return st;
}

static fsfm_status measure_products(fsfm_cpu_device *cpu, const fsfm_product_shape *shapes, int count,
                                    double *best_gflops, fsfm_error *err)
{
    dnnl_engine_t engine = NULL;
    dnnl_stream_t stream = NULL;
    fsfm_status st = FSFM_OK;
    *best_gflops = 0;
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
        st = fsfm_fail(err, FSFM_ERR_DEVICE, "oneDNN cannot start for a measurement");
    omp_set_num_threads(cpu->base.threads);
    for (int i = 0; i < count && st == FSFM_OK; i++) {
        double gflops = 0;
        st = measure_product(cpu, engine, stream, &shapes[i], &gflops, err);
        *best_gflops = fmax(*best_gflops, gflops);
    }
    if (stream) dnnl_stream_destroy(stream);
    if (engine) dnnl_engine_destroy(engine);
    return st;
}

enum { PIECE_FLOATS = 1 << 18 };

typedef struct {
    const fsfm_cpu_kernels *kernels;
    const float *x;
    float *y;
} addition;

static void add_piece(void *context, int64_t piece, int thread)
{
    const addition *a = context;
    (void)thread;
    a->kernels->axpy(PIECE_FLOATS, 0.5f, a->x + piece * PIECE_FLOATS, a->y + piece * PIECE_FLOATS);
}

/* Two of them are several times the last cache, so that nothing of one pass is there in the next. */
static size_t array_bytes(void)
{
    const long cache_bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    const size_t least = (size_t)64 << 20, most = (size_t)256 << 20;
    const size_t wanted = cache_bytes > 0 ? 2 * (size_t)cache_bytes : 0;
    const size_t bytes = wanted < least ? least : wanted > most ? most : wanted;
    return bytes / (PIECE_FLOATS * sizeof(float)) * (PIECE_FLOATS * sizeof(float));
}

static fsfm_status measure_memory(fsfm_cpu_device *cpu, double *gb_s, fsfm_error *err)
{
    const size_t size_bytes = array_bytes();
    const int64_t pieces = (int64_t)(size_bytes / sizeof(float) / PIECE_FLOATS);
    float *x = fsfm_cpu_memory(size_bytes), *y = fsfm_cpu_memory(size_bytes);
    addition a = {cpu->kernels, x, y};
    double best_s = INFINITY;
    if (x && y) {
        memset(x, 0, size_bytes);
        memset(y, 0, size_bytes);
        for (int run = 0; run < 2 * RUNS_MIN; run++) {
            const double before_s = fsfm_clock_monotonic_s();
            fsfm_thread_pool_run(cpu->pool, pieces, add_piece, &a);
            best_s = fmin(best_s, fsfm_clock_monotonic_s() - before_s);
        }
    }
    *gb_s = 3e-9 * (double)size_bytes / best_s;
    const bool has_memory = x && y;
    free(x);
    free(y);
    if (has_memory) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to measure its speed: twice %zu bytes", size_bytes);
}

fsfm_status fsfm_cpu_measure_peaks(fsfm_device *dev, const fsfm_product_shape *shapes, int count,
                                   fsfm_device_peaks *out, fsfm_error *err)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev);
    *out = (fsfm_device_peaks){0};
    FSFM_TRY(measure_products(cpu, shapes, count, &out->gemm_gflops, err));
    return measure_memory(cpu, &out->memory_gb_s, err);
}
