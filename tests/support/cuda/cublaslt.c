/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/cublaslt.c - stands in for cublasLt on the emulated device: the functions that the
 * backend calls, with NVIDIA's signatures. Products are oneDNN's.
 *
 * It refuses what cublasLt refuses or has no fast algorithm for, with a line on stderr that says what: shapes
 * that do not fit, leading dimensions that are too small or not of 16 bytes, pointers that are missing or not
 * aligned, a bias or its gradient of another type than D's, no workspace; an algorithm that was not found for
 * this very product. FSFM_EMULATION_NO_ALGORITHM=1: the heuristic finds nothing; =sums: nothing with sums
 * (BGRADB), which are sums over k of B, for each of D's columns, and set. */
#include <cublasLt.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cuda/submit.h"

enum { ALIGNMENT = 16 };
/* Asked for by algorithms of products that do not fill a GPU, whose sums would be split. */
static const size_t split_workspace_bytes = (size_t)8 << 20;

typedef struct {
    cublasComputeType_t compute;
    cudaDataType_t scale, bias_type;
    bool has_bias_type;
    cublasOperation_t a, b;
    cublasLtEpilogue_t epilogue;
    void *bias; /* or its gradient, which is written */
} description;

typedef struct {
    cudaDataType_t type;
    uint64_t rows, columns; /* column-major */
    int64_t ld;
} layout;

typedef struct {
    uint64_t workspace_bytes;
    uint32_t alignment[4]; /* of A, B, C, D */
} preference;

/* What is kept in cublasLtMatmulAlgo_t. */
typedef struct {
    uint64_t product; /* hash of what it was found for */
    uint64_t workspace_bytes;
} algorithm;

static cublasStatus_t refuse(cublasStatus_t status, const char *why)
{
    fprintf(stderr, "cublasLt stand-in: %s\n", why);
    return status;
}

static size_t size_of(cudaDataType_t type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}

static bool is_aligned(const void *pointer, uint32_t alignment)
{
    return (uintptr_t)pointer % alignment == 0;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    *out = calloc(1, 1);
    return *out ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS         ? "CUBLAS_STATUS_SUCCESS"
           : status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
           : status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE"
                                                   : "CUBLAS_STATUS_OTHER";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "refused by the stand-in";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    description *d = calloc(1, sizeof *d);
    if (!d) return CUBLAS_STATUS_ALLOC_FAILED;
    *d = (description){.compute = compute, .scale = scale, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    *out = (cublasLtMatmulDesc_t)(void *)d;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    free(desc);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t take(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
    if (!from || from_bytes != to_bytes)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute of another size");
    memcpy(to, from, to_bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, const void *from,
                                              size_t size_bytes)
{
    description *d = (description *)(void *)desc;
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return take(&d->a, sizeof d->a, from, size_bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return take(&d->b, sizeof d->b, from, size_bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return take(&d->epilogue, sizeof d->epilogue, from, size_bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(&d->bias, sizeof d->bias, from, size_bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        d->has_bias_type = true;
        return take(&d->bias_type, sizeof d->bias_type, from, size_bytes);
    default: return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an attribute of products that it does not know");
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld)
{
    layout *l = malloc(sizeof *l);
    if (!l) return CUBLAS_STATUS_ALLOC_FAILED;
    *l = (layout){.type = type, .rows = rows, .columns = columns, .ld = ld};
    *out = (cublasLtMatrixLayout_t)(void *)l;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    free(l);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    preference *p = malloc(sizeof *p);
    if (!p) return CUBLAS_STATUS_ALLOC_FAILED;
    *p = (preference){.alignment = {256, 256, 256, 256}};
    *out = (cublasLtMatmulPreference_t)(void *)p;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    free(p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t of,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *from, size_t size_bytes)
{
    preference *p = (preference *)(void *)of;
    uint32_t reductions;
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return take(&p->workspace_bytes, sizeof p->workspace_bytes, from, size_bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return take(&reductions, sizeof reductions, from, size_bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return take(&p->alignment[0], sizeof p->alignment[0], from, size_bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return take(&p->alignment[1], sizeof p->alignment[1], from, size_bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return take(&p->alignment[2], sizeof p->alignment[2], from, size_bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return take(&p->alignment[3], sizeof p->alignment[3], from, size_bytes);
    default: return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a preference that it does not know");
    }
}

/* D (m, n) = A (m, k) B (k, n) + beta C. */
typedef struct {
    description d;
    layout A, B, C, D;
    int64_t m, n, k;
} product;

static product product_of(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                          cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d)
{
    product p = {.d = *(const description *)(const void *)desc,
                 .A = *(const layout *)(const void *)a,
                 .B = *(const layout *)(const void *)b,
                 .C = *(const layout *)(const void *)c,
                 .D = *(const layout *)(const void *)d};
    p.m = (int64_t)p.D.rows;
    p.n = (int64_t)p.D.columns;
    p.k = (int64_t)(p.d.a == CUBLAS_OP_N ? p.A.columns : p.A.rows);
    return p;
}

static bool has_shape(const layout *l, bool transposed, int64_t rows, int64_t columns)
{
    return l->rows == (uint64_t)(transposed ? columns : rows) &&
           l->columns == (uint64_t)(transposed ? rows : columns) && l->ld >= (int64_t)l->rows;
}

static bool is_wide(const layout *l)
{
    return l->ld * (int64_t)size_of(l->type) % ALIGNMENT == 0;
}

/* Of those that the documentation lists for CUBLAS_COMPUTE_32F, the two that the backend uses. */
static bool has_types(const product *p)
{
    return p->d.compute == CUBLAS_COMPUTE_32F && p->d.scale == CUDA_R_32F && p->A.type == p->B.type &&
           p->C.type == p->D.type &&
           ((p->A.type == CUDA_R_32F && p->D.type == CUDA_R_32F) ||
            (p->A.type == CUDA_R_16BF && (p->D.type == CUDA_R_16BF || p->D.type == CUDA_R_32F)));
}

static bool has_vector(const description *d)
{
    return d->epilogue == CUBLASLT_EPILOGUE_BIAS || d->epilogue == CUBLASLT_EPILOGUE_BGRADB;
}

/* Without a type of its own a bias, and a bias's gradient, has D's. */
static bool has_fitting_bias(const description *d, cudaDataType_t type)
{
    return !has_vector(d) || !d->has_bias_type || d->bias_type == type;
}

static cublasStatus_t check(const product *p)
{
    if (!has_types(p)) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "types that do not go together");
    if (!has_shape(&p->A, p->d.a == CUBLAS_OP_T, p->m, p->k) ||
        !has_shape(&p->B, p->d.b == CUBLAS_OP_T, p->k, p->n) || !has_shape(&p->C, false, p->m, p->n) ||
        !has_shape(&p->D, false, p->m, p->n))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "shapes or leading dimensions that do not fit");
    if (!is_wide(&p->A) || !is_wide(&p->B) || !is_wide(&p->C) || !is_wide(&p->D))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a leading dimension that is not a multiple of 16 bytes");
    if (p->d.epilogue != CUBLASLT_EPILOGUE_DEFAULT && !has_vector(&p->d))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an epilogue that it does not know");
    if (!has_fitting_bias(&p->d, p->D.type))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a bias of another type than D's");
    return CUBLAS_STATUS_SUCCESS;
}

/* Of all that an algorithm depends on. FNV-1a. */
static uint64_t hash_of(const product *p)
{
    const int64_t numbers[] = {p->m,    p->n,   p->k,   p->A.ld,   p->B.ld,   p->C.ld,
                               p->D.ld, p->d.a, p->d.b, p->A.type, p->D.type, p->d.epilogue};
    const unsigned char *bytes = (const unsigned char *)numbers;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof numbers; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preferred, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found)
{
    const product p = product_of(desc, a, b, c, d);
    const preference *limits = (const preference *)(const void *)preferred;
    const char *nothing = getenv("FSFM_EMULATION_NO_ALGORITHM");
    *found = 0;
    if (!handle || wanted < 1) return refuse(CUBLAS_STATUS_INVALID_VALUE, "no handle or no results wanted");
    const cublasStatus_t status = check(&p);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    if (nothing && nothing[0] == '1') return CUBLAS_STATUS_NOT_SUPPORTED;
    if (nothing && strcmp(nothing, "sums") == 0 && p.d.epilogue == CUBLASLT_EPILOGUE_BGRADB)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (has_vector(&p.d) && !is_aligned(p.d.bias, ALIGNMENT))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a bias that is not aligned to 16 bytes");
    const bool splits = p.m * p.n < 128 * 128 && limits->workspace_bytes >= split_workspace_bytes;
    const algorithm chosen = {hash_of(&p), splits ? split_workspace_bytes : 0};
    for (int i = 0; i < 4; i++)
        if (limits->alignment[i] < ALIGNMENT)
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "no algorithm for pointers of less than 16 bytes");
    memset(results, 0, sizeof *results);
    memcpy(&results->algo, &chosen, sizeof chosen);
    results->workspaceSize = chosen.workspace_bytes;
    results->state = CUBLAS_STATUS_SUCCESS;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* One call, as it waits in its stream. */
typedef struct {
    product p;
    const void *A, *B, *C;
    void *D, *workspace; /* NULL: not used */
    float alpha, beta;
} call;

static float element(const void *matrix, cudaDataType_t type, int64_t i)
{
    if (type == CUDA_R_32F) return ((const float *)matrix)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)matrix)[i] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void set_element(void *matrix, cudaDataType_t type, int64_t i, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (type == CUDA_R_32F)
        ((float *)matrix)[i] = x;
    else if (x != x)
        ((uint16_t *)matrix)[i] = 0x7fff;
    else
        ((uint16_t *)matrix)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Whole tiles of oneDNN's: what it does at their edges would give a row other bits than the same row
 * elsewhere, which cublasLt's kernels do not. */
static int64_t padded(int64_t count)
{
    const int64_t tile = 48;
    return (count + tile - 1) / tile * tile;
}

/* The matrix as floats, with zeros around it, owned by the caller; its leading dimension is padded(rows). */
static float *floats_of(const void *matrix, const layout *l)
{
    const int64_t rows = (int64_t)l->rows, columns = (int64_t)l->columns, ld = padded(rows);
    float *out = calloc((size_t)(ld * padded(columns)) + 1, sizeof *out);
    for (int64_t c = 0; out && c < columns; c++)
        for (int64_t r = 0; r < rows; r++) out[c * ld + r] = element(matrix, l->type, c * l->ld + r);
    return out;
}

/* Rounded once, from the sum of all. */
static void finish_column(const call *k, const float *sums, int64_t column)
{
    const product *p = &k->p;
    for (int64_t r = 0; r < p->m; r++) {
        float x = k->alpha * sums[r];
        if (k->beta != 0.0f) x += k->beta * element(k->C, p->C.type, column * p->C.ld + r);
        if (p->d.epilogue == CUBLASLT_EPILOGUE_BIAS) x += element(p->d.bias, p->D.type, r);
        set_element(k->D, p->D.type, column * p->D.ld + r, x);
    }
}

/* b: the stored B as floats. */
static void sum_over_k(const product *p, const float *b)
{
    const bool is_transposed = p->d.b == CUBLAS_OP_T;
    for (int64_t c = 0; c < p->n; c++) {
        float sum = 0.0f;
        for (int64_t k = 0; k < p->k; k++)
            sum += is_transposed ? b[k * padded(p->n) + c] : b[c * padded(p->k) + k];
        set_element(p->d.bias, p->D.type, c, sum);
    }
}

/* What is column-major here is row-major and transposed for oneDNN. */
static void run(void *context)
{
    const call *k = context;
    const product *p = &k->p;
    float *a = floats_of(k->A, &p->A), *b = floats_of(k->B, &p->B);
    const int64_t m = padded(p->m), n = padded(p->n);
    float *sums = malloc((size_t)(m * n) * sizeof *sums + 1);
    if (!a || !b || !sums) {
        refuse(CUBLAS_STATUS_ALLOC_FAILED, "no memory");
        abort();
    }
    if (k->workspace) memset(k->workspace, 0xff, 4096); /* to be seen where others use it */
    omp_set_num_threads(1);                             /* the bits of a sum may depend on their number */
    if (dnnl_sgemm(p->d.b == CUBLAS_OP_N ? 'N' : 'T', p->d.a == CUBLAS_OP_N ? 'N' : 'T', n, m, p->k, 1.0f, b,
                   padded((int64_t)p->B.rows), a, padded((int64_t)p->A.rows), 0.0f, sums, m) != dnnl_success)
        abort();
    for (int64_t c = 0; c < p->n; c++) finish_column(k, sums + c * m, c);
    if (p->d.epilogue == CUBLASLT_EPILOGUE_BGRADB) sum_over_k(p, b);
    free(a);
    free(b);
    free(sums);
}

static cublasStatus_t check_call(const call *k, const algorithm *chosen, const void *workspace,
                                 size_t workspace_bytes)
{
    if (!k->A || !k->B || !k->D || (k->beta != 0.0f && !k->C))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "a matrix is missing");
    if (!is_aligned(k->A, ALIGNMENT) || !is_aligned(k->B, ALIGNMENT) || !is_aligned(k->C, ALIGNMENT) ||
        !is_aligned(k->D, ALIGNMENT))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "a matrix that is not aligned to 16 bytes");
    if (has_vector(&k->p.d) && (!is_aligned(k->p.d.bias, ALIGNMENT) || (uintptr_t)k->p.d.bias <= ALIGNMENT))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "a bias that is missing or not aligned to 16 bytes");
    if (chosen->product != hash_of(&k->p))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an algorithm that was not found for this product");
    if (chosen->workspace_bytes > 0 && (!workspace || workspace_bytes < chosen->workspace_bytes))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "no workspace, or too little");
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    call k = {.p = product_of(desc, a, b, c, d), .A = A, .B = B, .C = C, .D = D};
    algorithm chosen;
    memcpy(&k.alpha, alpha, sizeof k.alpha);
    memcpy(&k.beta, beta, sizeof k.beta);
    if (!handle || !algo) return refuse(CUBLAS_STATUS_INVALID_VALUE, "no handle or no algorithm");
    memcpy(&chosen, algo, sizeof chosen);
    cublasStatus_t status = check(&k.p);
    if (status == CUBLAS_STATUS_SUCCESS) status = check_call(&k, &chosen, workspace, workspace_bytes);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    if (chosen.workspace_bytes > 0) k.workspace = workspace;
    emulated_submit(stream, run, &k, sizeof k);
    return CUBLAS_STATUS_SUCCESS;
}
