/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/kernels.h - what the .cu files give to the backend's C files: a function for each
 * operation that is not a product, with the arguments of core/device/device.h.
 *
 * Each enqueues its kernels on the queue's stream and returns cudaGetLastError(), or what a call returned
 * that failed. Any shape is right; one with nothing to do launches nothing. Sums have a fixed order and no
 * kernel adds atomically: equal arguments give equal bits. */
#ifndef FSFM_CORE_DEVICE_CUDA_KERNELS_H
#define FSFM_CORE_DEVICE_CUDA_KERNELS_H

#include <cuda_runtime_api.h>

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Scratch that operations use one after the other: partial sums, above all. */
#define FSFM_CUDA_SCRATCH_BYTES ((size_t)32 << 20)

typedef struct {
    cudaStream_t stream;
    fsfm_precision precision; /* of fsfm_act */
    void *scratch;            /* (FSFM_CUDA_SCRATCH_BYTES), on the device, aligned to 256 */
} fsfm_cuda_queue;

/* rows.cu */
cudaError_t fsfm_cuda_layernorm(const fsfm_cuda_queue *queue, const fsfm_layernorm_args *args);
cudaError_t fsfm_cuda_layernorm_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_layernorm_backward_args *args);
/* sums (C) += the rows of x (N, C): a bias's gradient. */
cudaError_t fsfm_cuda_column_sums(const fsfm_cuda_queue *queue, int64_t N, int64_t C, const fsfm_act *x,
                                  float *sums);

/* vectors.cu: count numbers each. */
cudaError_t fsfm_cuda_gelu(const fsfm_cuda_queue *queue, int64_t count, const fsfm_act *x, fsfm_act *out);
/* dx *= GELU'(x), in place; active = GELU(x) where not NULL. */
cudaError_t fsfm_cuda_gelu_backward(const fsfm_cuda_queue *queue, int64_t count, const fsfm_act *x,
                                    fsfm_act *dx, fsfm_act *active);
cudaError_t fsfm_cuda_to_act(const fsfm_cuda_queue *queue, int64_t count, const float *x, fsfm_act *out);
cudaError_t fsfm_cuda_add_act(const fsfm_cuda_queue *queue, int64_t count, const fsfm_act *x, float *y);
cudaError_t fsfm_cuda_add(const fsfm_cuda_queue *queue, int64_t count, const float *x, float *y);
cudaError_t fsfm_cuda_norm_squared(const fsfm_cuda_queue *queue, int64_t count, const float *x, double *sum);
/* A matrix of weights (device.h has its form) from and to floats, all on the device: elements [first, first +
 * part) of count, and the part's values. */
cudaError_t fsfm_cuda_split_matrix(const fsfm_cuda_queue *queue, int64_t count, int64_t first, int64_t part,
                                   const float *values, void *matrix);
cudaError_t fsfm_cuda_join_matrix(const fsfm_cuda_queue *queue, int64_t count, int64_t first, int64_t part,
                                  const void *matrix, float *values);

/* out (count) = what rounding took from the matrix's elements (device.h: matrix_rest). */
cudaError_t fsfm_cuda_matrix_rest(const fsfm_cuda_queue *queue, int64_t count, const void *matrix,
                                  fsfm_act *out);

/* product.cu: c (M, N) = a (M, K) b (K, N) + bias (N) + added (M, N) for every shape and alignment; those
 * that cublasLt takes go there. Transposed: stored as (K, M), (N, K). bias and added may be NULL, added may
 * be c; a and b in compute precision, c and added too, or floats if c_is_float. a_sums: for
 * fsfm_cuda_library_product() alone. */
typedef struct {
    int64_t M, N, K;
    bool a_transposed, b_transposed, c_is_float;
    const fsfm_act *a, *b;
    const float *bias;
    const void *added;
    void *c;
    float *a_sums;
} fsfm_cuda_product_args;
cudaError_t fsfm_cuda_product(const fsfm_cuda_queue *queue, const fsfm_cuda_product_args *args);

/* padding.cu. Matrices are in compute precision, or floats if is_float.
 * to (padded_rows, padded_columns) = from (rows, columns), and zeros behind its rows and columns. to is
 * aligned to 16 bytes in every row. */
typedef struct {
    const void *from;
    int64_t rows, columns;
    bool is_float;
    void *to;
    int64_t padded_rows, padded_columns;
} fsfm_cuda_pad_args;
cudaError_t fsfm_cuda_pad(const fsfm_cuda_queue *queue, const fsfm_cuda_pad_args *args);
/* to (rows, columns) = the first of each row of from (.., padded_columns), which is aligned as above, + added
 * (rows, columns), which may be NULL, or to. from_is_float: whatever to is. */
typedef struct {
    const void *from;
    int64_t padded_columns;
    bool from_is_float;
    int64_t rows, columns;
    const void *added;
    bool is_float;
    void *to;
} fsfm_cuda_unpad_args;
cudaError_t fsfm_cuda_unpad(const fsfm_cuda_queue *queue, const fsfm_cuda_unpad_args *args);

/* attention.cu, attention_backward.cu */
cudaError_t fsfm_cuda_attention(const fsfm_cuda_queue *queue, const fsfm_attention_args *args);
cudaError_t fsfm_cuda_attention_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_attention_backward_args *args);

/* images.cu */
cudaError_t fsfm_cuda_patches(const fsfm_cuda_queue *queue, const fsfm_patches_args *args);
cudaError_t fsfm_cuda_patch_loss(const fsfm_cuda_queue *queue, const fsfm_patch_loss_args *args);

/* tokens.cu, unshuffle.cu */
cudaError_t fsfm_cuda_embed(const fsfm_cuda_queue *queue, const fsfm_embed_args *args);
cudaError_t fsfm_cuda_embed_backward(const fsfm_cuda_queue *queue, const fsfm_embed_backward_args *args);
cudaError_t fsfm_cuda_unshuffle(const fsfm_cuda_queue *queue, const fsfm_unshuffle_args *args);
cudaError_t fsfm_cuda_unshuffle_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_unshuffle_backward_args *args);
cudaError_t fsfm_cuda_pick(const fsfm_cuda_queue *queue, const fsfm_pick_args *args);
cudaError_t fsfm_cuda_pick_backward(const fsfm_cuda_queue *queue, const fsfm_pick_backward_args *args);
cudaError_t fsfm_cuda_mean(const fsfm_cuda_queue *queue, const fsfm_mean_args *args);
cudaError_t fsfm_cuda_mean_backward(const fsfm_cuda_queue *queue, const fsfm_mean_backward_args *args);

/* losses.cu */
cudaError_t fsfm_cuda_normalize(const fsfm_cuda_queue *queue, const fsfm_normalize_args *args);
cudaError_t fsfm_cuda_normalize_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_normalize_backward_args *args);
cudaError_t fsfm_cuda_dot_loss(const fsfm_cuda_queue *queue, const fsfm_dot_loss_args *args);
cudaError_t fsfm_cuda_infonce(const fsfm_cuda_queue *queue, const fsfm_infonce_args *args);

/* optimizer.cu */
cudaError_t fsfm_cuda_adamw(const fsfm_cuda_queue *queue, const fsfm_adamw_args *args);

#ifdef __cplusplus
}
#endif
#endif
