/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/gemm.h"

#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256, OPERANDS = 5 /* a, b, c, scratchpad, bias */ };
enum { SMALL = 4 << 20 }; /* multiplications of a product that is not worth cutting */

/* What a primitive is made for. Compared as bytes: always zeroed before it is filled. */
typedef struct {
    int64_t M, N, K;
    int64_t a_stride, b_stride, c_stride; /* of the rows as they are stored */
    int64_t a_transposed, b_transposed, adds, has_bias;
    int64_t type, c_type; /* dnnl_data_type_t of a and b, of c */
} gemm_key;

struct fsfm_cpu_gemm {
    gemm_key key;
    fsfm_cpu_gemm *next;
    dnnl_primitive_t primitive;
    int operands;
    dnnl_exec_arg_t
        *arguments; /* (threads, OPERANDS): memory objects of each thread's own, pointed at data per call */
};

struct fsfm_cpu_gemms {
    fsfm_cpu_gemm *bucket[BUCKETS];
};

fsfm_cpu_gemms *fsfm_cpu_gemms_create(void)
{
    return calloc(1, sizeof(fsfm_cpu_gemms));
}

static void gemm_destroy(fsfm_cpu_gemm *gemm, int threads)
{
    for (int i = 0; gemm->arguments && i < threads * OPERANDS; i++)
        if (gemm->arguments[i].memory) dnnl_memory_destroy(gemm->arguments[i].memory);
    if (gemm->primitive) dnnl_primitive_destroy(gemm->primitive);
    free(gemm->arguments);
    free(gemm);
}

void fsfm_cpu_gemms_destroy(fsfm_cpu_gemms *gemms, int threads)
{
    for (int i = 0; gemms && i < BUCKETS; i++)
        while (gemms->bucket[i]) {
            fsfm_cpu_gemm *gone = gemms->bucket[i];
            gemms->bucket[i] = gone->next;
            gemm_destroy(gone, threads);
        }
    free(gemms);
}

static dnnl_status_t describe(dnnl_memory_desc_t *desc, int64_t rows, int64_t columns, int64_t type,
                              int64_t stride, bool transposed)
{
    const dnnl_dims_t shape = {rows, columns};
    const dnnl_dims_t strides = {transposed ? 1 : stride, transposed ? stride : 1};
    return dnnl_memory_desc_init_by_strides(desc, 2, shape, (dnnl_data_type_t)type, strides);
}

/* Memory descriptors of a, b, c and bias, and the operation on them. */
static dnnl_status_t describe_gemm(const gemm_key *key, dnnl_memory_desc_t desc[OPERANDS],
                                   dnnl_matmul_desc_t *matmul)
{
    dnnl_status_t status = describe(&desc[0], key->M, key->K, key->type, key->a_stride, key->a_transposed);
    if (status == dnnl_success)
        status = describe(&desc[1], key->K, key->N, key->type, key->b_stride, key->b_transposed);
    if (status == dnnl_success)
        status = describe(&desc[2], key->M, key->N, key->c_type, key->c_stride, false);
    if (status == dnnl_success) status = describe(&desc[4], 1, key->N, dnnl_f32, key->N, false);
    if (status == dnnl_success)
        status = dnnl_matmul_desc_init(matmul, &desc[0], &desc[1], key->has_bias ? &desc[4] : NULL, &desc[2]);
    return status;
}

static dnnl_status_t make_attributes(const gemm_key *key, dnnl_primitive_attr_t *attributes)
{
    dnnl_post_ops_t add = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && key->adds) {
        status = dnnl_post_ops_create(&add);
        if (status == dnnl_success) status = dnnl_post_ops_append_sum(add, 1.0f);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attributes, add);
        if (add) dnnl_post_ops_destroy(add);
    }
    return status;
}

/* Every thread's memory objects, without data. */
static dnnl_status_t make_operands(fsfm_cpu_device *cpu, fsfm_cpu_gemm *gemm, const dnnl_memory_desc_t *desc)
{
    static const int names[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD,
                                        DNNL_ARG_BIAS};
    gemm->operands = gemm->key.has_bias ? OPERANDS : OPERANDS - 1;
    for (int i = 0; i < cpu->base.threads; i++)
        for (int k = 0; k < gemm->operands; k++) {
            dnnl_exec_arg_t *argument = &gemm->arguments[i * OPERANDS + k];
            argument->arg = names[k];
            const dnnl_status_t status =
                dnnl_memory_create(&argument->memory, &desc[k], cpu->engine, DNNL_MEMORY_NONE);
            if (status != dnnl_success) return status;
        }
    return dnnl_success;
}

/* Sets scratch_bytes to what the primitive needs. */
static dnnl_status_t make_primitive(fsfm_cpu_device *cpu, fsfm_cpu_gemm *gemm, size_t *scratch_bytes)
{
    dnnl_memory_desc_t desc[OPERANDS];
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t plan = NULL;
    dnnl_status_t status = describe_gemm(&gemm->key, desc, &matmul);
    if (status == dnnl_success) status = make_attributes(&gemm->key, &attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&plan, &matmul, attributes, cpu->engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&gemm->primitive, plan);
    if (status == dnnl_success) {
        desc[3] = *dnnl_primitive_desc_query_md(plan, dnnl_query_scratchpad_md, 0);
        *scratch_bytes = dnnl_memory_desc_get_size(&desc[3]);
        status = make_operands(cpu, gemm, desc);
    }
    if (plan) dnnl_primitive_desc_destroy(plan);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status;
}

static fsfm_status gemm_make(fsfm_cpu_device *cpu, const gemm_key *key, fsfm_cpu_gemm **out, fsfm_error *err)
{
    *out = NULL;
    size_t scratch_bytes = 0;
    fsfm_cpu_gemm *gemm = calloc(1, sizeof *gemm);
    if (gemm) gemm->arguments = calloc((size_t)cpu->base.threads * OPERANDS, sizeof *gemm->arguments);
    if (!gemm || !gemm->arguments) {
        free(gemm);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a product");
    }
    gemm->key = *key;
    const dnnl_status_t status = make_primitive(cpu, gemm, &scratch_bytes);
    fsfm_status st = FSFM_OK;
    if (status != dnnl_success)
        st = fsfm_fail(err, status == dnnl_out_of_memory ? FSFM_ERR_MEMORY : FSFM_ERR_DEVICE,
                       "oneDNN cannot prepare the product (%" PRId64 ", %" PRId64 ") x (%" PRId64 ", %" PRId64
                       "): status %d",
                       key->M, key->K, key->K, key->N, (int)status);
    else
        st = fsfm_cpu_reserve_threads(cpu, scratch_bytes, err);
    if (st == FSFM_OK)
        *out = gemm;
    else
        gemm_destroy(gemm, cpu->base.threads);
    return st;
}

static size_t key_bucket(const gemm_key *key)
{
    const int64_t *word = (const int64_t *)key;
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof *key / sizeof *word; i++)
        hash = (hash ^ (uint64_t)word[i]) * 0x9E3779B97F4A7C15u;
    return (size_t)(hash >> 32) % BUCKETS;
}

static fsfm_status gemm_find(fsfm_cpu_device *cpu, const gemm_key *key, fsfm_cpu_gemm **out, fsfm_error *err)
{
    fsfm_cpu_gemm **bucket = &cpu->gemms->bucket[key_bucket(key)];
    for (*out = *bucket; *out; *out = (*out)->next)
        if (memcmp(&(*out)->key, key, sizeof *key) == 0) return FSFM_OK;
    FSFM_TRY(gemm_make(cpu, key, out, err));
    (*out)->next = *bucket;
    *bucket = *out;
    return FSFM_OK;
}

/* Blocks of equal size, about size large and a multiple of 16, so that only the last differs. The sizes below
 * are what was fastest with operands that come from memory, in fp32 and in bf16. They go by shape alone: bits
 * do not depend on the number of threads. */
static int64_t block_of(int64_t count, int64_t size)
{
    const int64_t pieces = fsfm_cpu_pieces(count, size);
    return (fsfm_cpu_pieces(count, pieces) + 15) / 16 * 16;
}

static int64_t clamp(int64_t size, int64_t least, int64_t most)
{
    return size < least ? least : size > most ? most : size;
}

/* Activations (M rows) times weights, which oneDNN has to turn round and does so for every block: fastest on
 * whole rows of the result, some 200 of them at a time. Fewer are cut by columns where the weights are wide,
 * so that each block turns round its own. */
static void choose_forward_blocks(fsfm_cpu_grid *grid)
{
    const int64_t M = grid->product.M, N = grid->product.N, K = grid->product.K;
    if (M >= 400)
        grid->row_block = block_of(M, 200);
    else if (M >= 128 && N <= K)
        grid->row_block = block_of(M, M / 2);
    else
        grid->column_block = block_of(N, clamp(N / 4, 192, N));
}

/* Gradients of activations: half of the columns, or blocks of 512, and up to 800 rows at a time. */
static void choose_input_blocks(fsfm_cpu_grid *grid)
{
    const int64_t M = grid->product.M, N = grid->product.N;
    grid->row_block = block_of(M, 800);
    grid->column_block = block_of(N, clamp(N / 2, 128, 512));
}

/* Gradients of weights: the longer side of the result in four, or in blocks of 768 at most. */
static void choose_weight_blocks(fsfm_cpu_grid *grid)
{
    const int64_t M = grid->product.M, N = grid->product.N;
    grid->row_block = block_of(M, M > N ? clamp(M / 4, 128, 768) : 1024);
    grid->column_block = block_of(N, M > N ? 1024 : clamp(N / 4, 128, 768));
}

static void choose_blocks(fsfm_cpu_grid *grid)
{
    const fsfm_cpu_product *p = &grid->product;
    grid->row_block = p->M;
    grid->column_block = p->N;
    if (p->M * p->N * p->K > SMALL) {
        if (p->b_transposed)
            choose_forward_blocks(grid);
        else if (p->a_transposed)
            choose_weight_blocks(grid);
        else
            choose_input_blocks(grid);
    }
    grid->row_pieces = fsfm_cpu_pieces(grid->product.M, grid->row_block);
    grid->column_pieces = fsfm_cpu_pieces(grid->product.N, grid->column_block);
}

fsfm_status fsfm_cpu_grid_prepare(fsfm_cpu_device *cpu, const fsfm_cpu_product *product, fsfm_cpu_grid *grid,
                                  fsfm_error *err)
{
    const int64_t M = product->M, N = product->N, K = product->K;
    omp_set_num_threads(1); /* of the calling thread, which may not be the one that opened the device */
    *grid = (fsfm_cpu_grid){.product = *product};
    choose_blocks(grid);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            const int64_t row = i == 1 ? grid->row_pieces - 1 : 0,
                          column = j == 1 ? grid->column_pieces - 1 : 0;
            gemm_key key;
            memset(&key, 0, sizeof key);
            key.M = fsfm_cpu_piece_size(M, grid->row_block, row);
            key.N = fsfm_cpu_piece_size(N, grid->column_block, column);
            key.K = K;
            key.a_stride = product->a_transposed ? M : K;
            key.b_stride = product->b_transposed ? K : N;
            key.c_stride = N;
            key.a_transposed = product->a_transposed;
            key.b_transposed = product->b_transposed;
            key.adds = product->adds;
            key.has_bias = product->bias != NULL;
            key.type = cpu->base.precision == FSFM_PRECISION_BF16 ? dnnl_bf16 : dnnl_f32;
            key.c_type = product->c_is_float ? dnnl_f32 : key.type;
            FSFM_TRY(gemm_find(cpu, &key, &grid->gemm[i][j], err));
        }
    return FSFM_OK;
}

int64_t fsfm_cpu_grid_pieces(const fsfm_cpu_grid *grid)
{
    return grid->row_pieces * grid->column_pieces;
}

fsfm_cpu_block fsfm_cpu_grid_block(const fsfm_cpu_grid *grid, int64_t piece)
{
    const int64_t row = piece / grid->column_pieces, column = piece % grid->column_pieces;
    return (fsfm_cpu_block){
        .rows = fsfm_cpu_piece_size(grid->product.M, grid->row_block, row),
        .columns = fsfm_cpu_piece_size(grid->product.N, grid->column_block, column),
        .first = row * grid->row_block * grid->product.N + column * grid->column_block,
    };
}

/* oneDNN's handles are not const, though it only reads sources. */
static void *without_const(const void *data)
{
    return (void *)(uintptr_t)data;
}

void fsfm_cpu_grid_run(fsfm_cpu_device *cpu, const fsfm_cpu_grid *grid, int64_t piece, int thread)
{
    const fsfm_cpu_product *p = &grid->product;
    fsfm_cpu_thread *own = &cpu->threads[thread];
    const int64_t row_piece = piece / grid->column_pieces, column_piece = piece % grid->column_pieces;
    const int64_t row = row_piece * grid->row_block, column = column_piece * grid->column_block;
    const fsfm_cpu_gemm *gemm =
        grid->gemm[row_piece == grid->row_pieces - 1][column_piece == grid->column_pieces - 1];
    const dnnl_exec_arg_t *argument = &gemm->arguments[thread * OPERANDS];
    const size_t c_bytes = p->c_is_float ? sizeof(float) : cpu->base.act_bytes;
    const void *data[OPERANDS] = {fsfm_cpu_at(cpu, p->a, p->a_transposed ? row : row * p->K),
                                  fsfm_cpu_at(cpu, p->b, p->b_transposed ? column * p->K : column),
                                  (const char *)p->c + (size_t)(row * p->N + column) * c_bytes, own->scratch,
                                  p->bias ? p->bias + column : NULL};
    dnnl_status_t status = dnnl_success;
    for (int k = 0; k < gemm->operands && status == dnnl_success; k++)
        status = dnnl_memory_set_data_handle(argument[k].memory, without_const(data[k]));
    if (status == dnnl_success)
        status = dnnl_primitive_execute(gemm->primitive, own->stream, gemm->operands, argument);
    if (own->status == dnnl_success) own->status = status;
}

fsfm_status fsfm_cpu_grid_status(fsfm_cpu_device *cpu, fsfm_error *err)
{
    dnnl_status_t first = dnnl_success;
    for (int i = 0; i < cpu->base.threads; i++) {
        if (first == dnnl_success) first = cpu->threads[i].status;
        cpu->threads[i].status = dnnl_success;
    }
    if (first == dnnl_success) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "oneDNN failed in a product (status %d)", (int)first);
}
