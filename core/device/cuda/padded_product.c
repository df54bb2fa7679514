/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/padded_product.c - products of matrices whose rows do not all begin at multiples of 16
 * bytes, as cublasLt's fast algorithms want them: by way of copies that are wider, with zeros behind. */
#include <stdlib.h>

#include "core/device/cuda/cuda_device.h"

struct fsfm_cuda_padding {
    fsfm_cuda_padding *next;
    void *memory;
    size_t size_bytes;
};

typedef struct {
    int64_t M, N, K;
} sizes;

typedef struct {
    void *a, *b, *c; /* NULL: there is no need for one */
    float *bias;
} copies;

static int64_t padded(const fsfm_cuda_device *cuda, int64_t columns)
{
    const int64_t step = FSFM_CUDA_PRODUCT_ALIGNMENT / (int64_t)cuda->base.act_bytes;
    return (columns + step - 1) / step * step;
}

/* What is the width of a matrix grows; what is but a number of rows stays. */
static sizes padded_sizes(const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args)
{
    const bool is_K_a_width = !args->a_transposed || args->b_transposed;
    return (sizes){.M = args->a_transposed ? padded(cuda, args->M) : args->M,
                   .N = padded(cuda, args->N),
                   .K = is_K_a_width ? padded(cuda, args->K) : args->K};
}

bool fsfm_cuda_wants_padding(const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args)
{
    const sizes to = padded_sizes(cuda, args);
    return to.M != args->M || to.N != args->N || to.K != args->K;
}

/* What is added to the copy of c is added as floats, so that the sum is rounded once. */
static bool is_copy_float(const fsfm_cuda_product_args *args)
{
    return args->c_is_float || args->added;
}

static void *matrix(fsfm_arena *arena, int64_t rows, int64_t columns, size_t element_bytes)
{
    return fsfm_arena_bytes(arena, (size_t)(rows * columns) * element_bytes);
}

static copies layout(fsfm_arena *arena, const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                     const sizes *to)
{
    const bool M = to->M != args->M, N = to->N != args->N, K = to->K != args->K;
    const size_t act_bytes = cuda->base.act_bytes;
    copies copy = {NULL, NULL, NULL, NULL};
    if (M || K) copy.a = matrix(arena, to->M, to->K, act_bytes);
    if (N || K) copy.b = matrix(arena, to->N, to->K, act_bytes);
    if (M || N) copy.c = matrix(arena, to->M, to->N, is_copy_float(args) ? sizeof(float) : act_bytes);
    if (N && args->bias) copy.bias = fsfm_arena_floats(arena, to->N);
    return copy;
}

/* Memory for copies, of all products. What became too small is kept: recordings may hold it. */
static fsfm_status reserve(fsfm_cuda_device *cuda, size_t size_bytes, void **out, fsfm_error *err)
{
    fsfm_cuda_padding *last = cuda->products.padding;
    if (!last || last->size_bytes < size_bytes) {
        fsfm_cuda_padding *larger = calloc(1, sizeof *larger);
        if (!larger) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a padded product");
        *larger = (fsfm_cuda_padding){.next = last, .size_bytes = size_bytes};
        const fsfm_status st = fsfm_cuda_alloc(&cuda->base, size_bytes, &larger->memory, err);
        if (st != FSFM_OK) {
            free(larger);
            return fsfm_context(err, "a padded product");
        }
        cuda->products.padding = last = larger;
    }
    *out = last->memory;
    return FSFM_OK;
}

void fsfm_cuda_padding_free(fsfm_cuda_device *cuda)
{
    for (fsfm_cuda_padding *p = cuda->products.padding, *next; p; p = next) {
        next = p->next;
        cudaFree(p->memory);
        free(p);
    }
    cuda->products.padding = NULL;
}

/* to NULL: nothing to do. */
static cudaError_t pad(const fsfm_cuda_device *cuda, const void *from, int64_t rows, int64_t columns,
                       void *to, int64_t padded_rows, int64_t padded_columns)
{
    const fsfm_cuda_pad_args args = {.from = from,
                                     .rows = rows,
                                     .columns = columns,
                                     .to = to,
                                     .padded_rows = padded_rows,
                                     .padded_columns = padded_columns};
    return to ? fsfm_cuda_pad(&cuda->queue, &args) : cudaSuccess;
}

static cudaError_t pad_factors(const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                               const sizes *to, const copies *copy)
{
    const fsfm_cuda_pad_args bias = {.from = args->bias,
                                     .rows = 1,
                                     .columns = args->N,
                                     .is_float = true,
                                     .to = copy->bias,
                                     .padded_rows = 1,
                                     .padded_columns = to->N};
    cudaError_t code = args->a_transposed ? pad(cuda, args->a, args->K, args->M, copy->a, to->K, to->M)
                                          : pad(cuda, args->a, args->M, args->K, copy->a, to->M, to->K);
    if (code == cudaSuccess)
        code = args->b_transposed ? pad(cuda, args->b, args->N, args->K, copy->b, to->N, to->K)
                                  : pad(cuda, args->b, args->K, args->N, copy->b, to->K, to->N);
    return code == cudaSuccess && copy->bias ? fsfm_cuda_pad(&cuda->queue, &bias) : code;
}

static fsfm_cuda_product_args product_of_copies(const fsfm_cuda_product_args *args, const sizes *to,
                                                const copies *copy)
{
    fsfm_cuda_product_args product = *args;
    product.M = to->M;
    product.N = to->N;
    product.K = to->K;
    if (copy->a) product.a = copy->a;
    if (copy->b) product.b = copy->b;
    if (copy->bias) product.bias = copy->bias;
    if (!copy->c) return product;
    product.c = copy->c;
    product.c_is_float = is_copy_float(args);
    product.added = NULL;
    return product;
}

fsfm_status fsfm_cuda_padded_product(fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                                     fsfm_error *err)
{
    const sizes to = padded_sizes(cuda, args);
    if (args->a_sums && to.M != args->M) return fsfm_cuda_product_then_sums(cuda, args, err);
    fsfm_arena arena = {0};
    layout(&arena, cuda, args, &to);
    void *memory = NULL;
    FSFM_TRY(reserve(cuda, arena.used_bytes, &memory, err));
    arena = (fsfm_arena){.base = memory, .limit_bytes = arena.used_bytes};
    const copies copy = layout(&arena, cuda, args, &to);
    const fsfm_cuda_product_args product = product_of_copies(args, &to, &copy);
    const fsfm_cuda_unpad_args result = {.from = copy.c,
                                         .padded_columns = to.N,
                                         .from_is_float = is_copy_float(args),
                                         .rows = args->M,
                                         .columns = args->N,
                                         .added = args->added,
                                         .is_float = args->c_is_float,
                                         .to = args->c};
    FSFM_TRY(fsfm_cuda_check(cuda, pad_factors(cuda, args, &to, &copy), "padding", err));
    FSFM_TRY(fsfm_cuda_library_product(cuda, &product, err));
    if (!copy.c) return FSFM_OK;
    return fsfm_cuda_check(cuda, fsfm_cuda_unpad(&cuda->queue, &result), "padding", err);
}
