/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/library_product.c - products by cublasLt.
 *
 * cublasLt knows column-major matrices: a row-major (rows, columns) one is its (columns, rows). So c = a b is
 * asked for as c^T = b^T a^T: its A is b, its B is a, its rows are c's columns, along which bias lies.
 *
 * The algorithm is the heuristic's first choice, by shape alone: not timed, as ranks would differ and so
 * would bits, and not by the pointers' alignment beyond what all of them have. Sums that are split are put
 * together as floats, so that a result is rounded once.
 *
 * a_sums are cublasLt's BGRADB, "bias gradient based on the input matrix B", one for each of D's columns,
 * summed over k (cublasLt.h): its B is a, its columns are c's rows. They are of D's type, float here, and
 * set, not added: so they go to scratch and are added from there. Equal arguments give equal bits, as cuBLAS
 * promises of all its routines ("Results reproducibility": on GPUs of one architecture and number of
 * multiprocessors, here in one stream with our workspace). That is what is promised of the product itself, so
 * `exact` may have both. How precise the sums are inside is not documented: device.linear, which holds them
 * to what floats' rounding makes, has to pass on hardware. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/cuda/cuda_device.h"

enum { ALIGNMENT = FSFM_CUDA_PRODUCT_ALIGNMENT };

/* What a plan is for. No padding that is not zero: compared as bytes. */
typedef struct {
    int64_t M, N, K;
    bool a_transposed, b_transposed, c_is_float, has_bias, has_added, has_sums, is_aligned;
} shape;

typedef struct fsfm_cuda_plan {
    struct fsfm_cuda_plan *next;
    shape key;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, c; /* a, b: in cublasLt's sense */
    cublasLtMatmulAlgo_t algorithm;
    bool is_usable; /* else cublasLt does not take the shape, and nothing is described above */
} plan;

static fsfm_status check(const fsfm_cuda_device *cuda, cublasStatus_t status, const char *what,
                         fsfm_error *err)
{
    if (status == CUBLAS_STATUS_SUCCESS) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "%s: %s: %s (%s)", cuda->base.name, what,
                     cublasLtGetStatusString(status), cublasLtGetStatusName(status));
}

static cublasStatus_t prefer(cublasLtMatmulPreference_t preference)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const size_t workspace_bytes = FSFM_CUDA_WORKSPACE_BYTES;
    const uint32_t alignment = ALIGNMENT, reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cublasStatus_t status = cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, sizeof workspace_bytes);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                      &reductions, sizeof reductions);
    for (int i = 0; i < 4 && status == CUBLAS_STATUS_SUCCESS; i++)
        status =
            cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &alignment, sizeof alignment);
    return status;
}

fsfm_status fsfm_cuda_products_open(fsfm_cuda_device *cuda, fsfm_error *err)
{
    fsfm_cuda_products *products = &cuda->products;
    FSFM_TRY(fsfm_cuda_check(cuda, cudaMalloc(&products->workspace, FSFM_CUDA_WORKSPACE_BYTES),
                             "memory for products", err));
    cublasStatus_t status = cublasLtCreate(&products->handle);
    if (status == CUBLAS_STATUS_SUCCESS) status = cublasLtMatmulPreferenceCreate(&products->preference);
    if (status == CUBLAS_STATUS_SUCCESS) status = prefer(products->preference);
    return check(cuda, status, "cublasLt", err);
}

static void plan_free(plan *p)
{
    if (p->c) cublasLtMatrixLayoutDestroy(p->c);
    if (p->b) cublasLtMatrixLayoutDestroy(p->b);
    if (p->a) cublasLtMatrixLayoutDestroy(p->a);
    if (p->product) cublasLtMatmulDescDestroy(p->product);
    free(p);
}

void fsfm_cuda_products_share(const fsfm_cuda_device *cuda, fsfm_cuda_device *whole)
{
    whole->products = cuda->products;
    whole->products.padding = NULL;
    memset(whole->products.plans, 0, sizeof whole->products.plans);
}

void fsfm_cuda_products_forget(fsfm_cuda_device *cuda)
{
    for (int i = 0; i < FSFM_CUDA_PLAN_LISTS; i++) {
        for (plan *p = cuda->products.plans[i], *next; p; p = next) {
            next = p->next;
            plan_free(p);
        }
        cuda->products.plans[i] = NULL;
    }
    fsfm_cuda_padding_free(cuda);
}

void fsfm_cuda_products_close(fsfm_cuda_device *cuda)
{
    fsfm_cuda_products *products = &cuda->products;
    fsfm_cuda_products_forget(cuda);
    if (products->preference) cublasLtMatmulPreferenceDestroy(products->preference);
    if (products->handle) cublasLtDestroy(products->handle);
    cudaFree(products->workspace);
}

static cudaDataType_t type_of(const fsfm_cuda_device *cuda, bool is_float)
{
    return is_float || cuda->base.precision == FSFM_PRECISION_FP32 ? CUDA_R_32F : CUDA_R_16BF;
}

static bool is_aligned(const void *pointer)
{
    return (uintptr_t)pointer % ALIGNMENT == 0;
}

static bool rounds_bias(const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args)
{
    return args->bias && type_of(cuda, args->c_is_float) != CUDA_R_32F;
}

/* cublasLt's fast algorithms read 16 bytes at a time. Rows begin there, too: padded_product.c sees to it. */
static bool are_aligned(const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args)
{
    return is_aligned(args->a) && is_aligned(args->b) && is_aligned(args->c) && is_aligned(args->added) &&
           (is_aligned(args->bias) || rounds_bias(cuda, args));
}

/* For people, who would wonder where the time goes. */
static void note_slow(fsfm_cuda_device *cuda, const shape *key)
{
    enum { NAMED = 3 };
    fsfm_device *told = &cuda->opened->base;
    fsfm_cuda_products *products = &cuda->opened->products;
    char *text = told->slow_products + products->slow_length;
    const size_t room = sizeof told->slow_products - products->slow_length;
    if (++products->slow_shapes > NAMED) {
        snprintf(text, room, " and %d more", products->slow_shapes - NAMED);
        return;
    }
    snprintf(text, room, "%s%" PRId64 "x%" PRId64 "x%" PRId64 "%s", products->slow_shapes > 1 ? ", " : "",
             key->M, key->N, key->K, key->has_sums ? " bias gradient" : "");
    products->slow_length += strlen(text);
}

static cublasStatus_t set(plan *p, cublasLtMatmulDescAttributes_t attribute, const void *value,
                          size_t size_bytes)
{
    return cublasLtMatmulDescSetAttribute(p->product, attribute, value, size_bytes);
}

static cublasStatus_t set_vector(plan *p, const void *vector_dev)
{
    return set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector_dev, sizeof vector_dev);
}

/* The vector that comes in with CUBLASLT_EPILOGUE_BIAS, out with CUBLASLT_EPILOGUE_BGRADB; of D's type. */
static cublasStatus_t describe_vector(plan *p, cublasLtEpilogue_t epilogue, cudaDataType_t type)
{
    cublasStatus_t status = set(p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set(p, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    /* The heuristic reads of the vector only how its pointer is aligned. */
    return status == CUBLAS_STATUS_SUCCESS ? set_vector(p, (const void *)(uintptr_t)ALIGNMENT) : status;
}

static cublasStatus_t describe_product(plan *p, cudaDataType_t c_type)
{
    const cublasOperation_t a = p->key.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                            b = p->key.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t status = cublasLtMatmulDescCreate(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS) status = set(p, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a);
    if (status == CUBLAS_STATUS_SUCCESS) status = set(p, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b);
    if (status == CUBLAS_STATUS_SUCCESS && p->key.has_bias)
        status = describe_vector(p, CUBLASLT_EPILOGUE_BIAS, c_type);
    if (status == CUBLAS_STATUS_SUCCESS && p->key.has_sums)
        status = describe_vector(p, CUBLASLT_EPILOGUE_BGRADB, c_type);
    return status;
}

/* The layout of a row-major (rows, columns) matrix. */
static cublasStatus_t describe_matrix(cublasLtMatrixLayout_t *out, int64_t rows, int64_t columns,
                                      bool transposed, cudaDataType_t type)
{
    const int64_t r = transposed ? columns : rows, c = transposed ? rows : columns;
    return cublasLtMatrixLayoutCreate(out, type, (uint64_t)c, (uint64_t)r, c);
}

static cublasStatus_t choose_algorithm(const fsfm_cuda_products *products, plan *p)
{
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    memset(&found, 0, sizeof found);
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        products->handle, p->product, p->a, p->b, p->c, p->c, products->preference, 1, &found, &count);
    p->is_usable = status == CUBLAS_STATUS_SUCCESS && count == 1 && found.state == CUBLAS_STATUS_SUCCESS;
    p->algorithm = found.algo;
    return status == CUBLAS_STATUS_NOT_SUPPORTED ? CUBLAS_STATUS_SUCCESS : status;
}

static fsfm_status describe(const fsfm_cuda_device *cuda, plan *p, fsfm_error *err)
{
    const shape *key = &p->key;
    const cudaDataType_t type = type_of(cuda, false), c_type = type_of(cuda, key->c_is_float);
    cublasStatus_t status = describe_product(p, c_type);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = describe_matrix(&p->a, key->K, key->N, key->b_transposed, type);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = describe_matrix(&p->b, key->M, key->K, key->a_transposed, type);
    if (status == CUBLAS_STATUS_SUCCESS) status = describe_matrix(&p->c, key->M, key->N, false, c_type);
    if (status == CUBLAS_STATUS_SUCCESS) status = choose_algorithm(&cuda->products, p);
    return check(cuda, status, "planning a product", err);
}

static fsfm_status plan_make(fsfm_cuda_device *cuda, const shape *key, plan **out, fsfm_error *err)
{
    plan *p = calloc(1, sizeof *p);
    if (!p) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a product's plan");
    p->key = *key;
    const fsfm_status st = key->is_aligned ? describe(cuda, p, err) : FSFM_OK;
    if (st != FSFM_OK) {
        plan_free(p);
        return st;
    }
    /* What is not aligned is noted when it is asked for without the sums. */
    if (!p->is_usable && (key->is_aligned || !key->has_sums)) note_slow(cuda, key);
    *out = p;
    return FSFM_OK;
}

/* FNV-1a */
static size_t list_of(const shape *key)
{
    const unsigned char *bytes = (const unsigned char *)key;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof *key; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return (size_t)(hash >> 32) % FSFM_CUDA_PLAN_LISTS;
}

static fsfm_status plan_find(fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args, plan **out,
                             fsfm_error *err)
{
    shape key;
    memset(&key, 0, sizeof key);
    key.M = args->M;
    key.N = args->N;
    key.K = args->K;
    key.a_transposed = args->a_transposed;
    key.b_transposed = args->b_transposed;
    key.c_is_float = args->c_is_float;
    key.has_bias = args->bias != NULL;
    key.has_added = args->added != NULL;
    key.has_sums = args->a_sums != NULL;
    key.is_aligned = are_aligned(cuda, args);
    plan **list = &cuda->products.plans[list_of(&key)], *p = *list;
    while (p && memcmp(&p->key, &key, sizeof key) != 0) p = p->next;
    if (!p) {
        FSFM_TRY(plan_make(cuda, &key, &p, err));
        p->next = *list;
        *list = p;
    }
    *out = p;
    return FSFM_OK;
}

/* *bias as cublasLt wants it: of c's type. */
static cudaError_t round_bias(const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                              const void **bias)
{
    *bias = args->bias;
    if (!rounds_bias(cuda, args)) return cudaSuccess;
    *bias = cuda->queue.scratch;
    return fsfm_cuda_to_act(&cuda->queue, args->N, args->bias, cuda->queue.scratch);
}

static fsfm_status run(fsfm_cuda_device *cuda, plan *p, const fsfm_cuda_product_args *args, fsfm_error *err)
{
    const float alpha = 1.0f, beta = args->added ? 1.0f : 0.0f;
    const void *vector = NULL, *added = args->added ? args->added : args->c;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    FSFM_TRY(fsfm_cuda_check(cuda, round_bias(cuda, args, &vector), "a bias rounded", err));
    if (args->a_sums) vector = cuda->queue.scratch;
    if (vector) status = set_vector(p, vector);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmul(cuda->products.handle, p->product, &alpha, args->b, p->a, args->a, p->b,
                                &beta, added, p->c, args->c, p->c, &p->algorithm, cuda->products.workspace,
                                FSFM_CUDA_WORKSPACE_BYTES, cuda->queue.stream);
    FSFM_TRY(check(cuda, status, "product", err));
    if (!args->a_sums) return FSFM_OK;
    return fsfm_cuda_check(cuda, fsfm_cuda_add(&cuda->queue, args->M, cuda->queue.scratch, args->a_sums),
                           "a product's sums", err);
}

fsfm_status fsfm_cuda_product_then_sums(fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                                        fsfm_error *err)
{
    fsfm_cuda_product_args product = *args;
    product.a_sums = NULL;
    FSFM_TRY(fsfm_cuda_library_product(cuda, &product, err));
    return fsfm_cuda_check(cuda, fsfm_cuda_column_sums(&cuda->queue, args->K, args->M, args->a, args->a_sums),
                           "column_sums", err);
}

fsfm_status fsfm_cuda_library_product(fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                                      fsfm_error *err)
{
    FSFM_ASSERT(!args->a_sums || (args->a_transposed && args->c_is_float && !args->bias));
    plan *p = NULL;
    if (fsfm_cuda_wants_padding(cuda, args)) return fsfm_cuda_padded_product(cuda, args, err);
    FSFM_TRY(plan_find(cuda, args, &p, err));
    if (p->is_usable) return run(cuda, p, args, err);
    if (args->a_sums) return fsfm_cuda_product_then_sums(cuda, args, err);
    return fsfm_cuda_check(cuda, fsfm_cuda_product(&cuda->queue, args), "product", err);
}
