/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/product.cu - products of any shape and alignment, on the ordinary cores.
 *
 * K is cut into parts, by K alone. An element is the sum of its parts' sums, in order: in one block, or,
 * where there are few tiles of c and many parts, each part in a block of its own and the sum of parts in a
 * second kernel. Both give the same bits, so a row's bits do not depend on M. */
#include "core/device/cuda/vectors.cuh"

enum {
    TILE = 64, /* of c, rows and columns */
    STEP = 16, /* along K */
    THREADS = 256,
    FETCHES = TILE * STEP / THREADS, /* elements that a thread takes of either tile */
    SIDE = 4,                        /* a thread has SIDE x SIDE elements of c */
    PITCH = TILE + 4,
    PART = 256, /* least length of a part */
    MOST_PARTS = 32,
    FEW_TILES = 64
};

/* The tile's element number e: row and place along K. Neighbours are neighbours in memory; where memory runs
 * along K, eight of four rows each, so that a warp's stores meet all banks. */
template <bool is_k_inner> static __device__ __forceinline__ int row_of(int e)
{
    return is_k_inner ? e / 8 % TILE : e % TILE;
}

template <bool is_k_inner> static __device__ __forceinline__ int step_of(int e)
{
    return is_k_inner ? e % 8 + e / (8 * TILE) * 8 : e / TILE;
}

/* This thread's elements of the tile at first_row, first_k of x, stored as (rows, K), or (K, rows) where not
 * is_k_inner; zeros beyond rows and last_k. */
template <bool is_k_inner, class Act>
static __device__ __forceinline__ void fetch(const Act *x, int64_t rows, int64_t K, int64_t first_row,
                                             int64_t first_k, int64_t last_k, float *values)
{
#pragma unroll
    for (int i = 0; i < FETCHES; i++) {
        const int e = (int)threadIdx.x + i * THREADS;
        const int64_t row = first_row + row_of<is_k_inner>(e), k = first_k + step_of<is_k_inner>(e);
        const bool is_there = row < rows && k < last_k;
        values[i] = is_there ? to_float(x[is_k_inner ? row * K + k : k * rows + row]) : 0.0f;
    }
}

/* tile (STEP, PITCH). */
template <bool is_k_inner> static __device__ __forceinline__ void put(float *tile, const float *values)
{
#pragma unroll
    for (int i = 0; i < FETCHES; i++) {
        const int e = (int)threadIdx.x + i * THREADS;
        tile[step_of<is_k_inner>(e) * PITCH + row_of<is_k_inner>(e)] = values[i];
    }
}

/* sums (SIDE, SIDE) += a tile's product: rows SIDE y .., columns x, x + 16, ... */
static __device__ __forceinline__ void multiply(const float *a, const float *b, int y, int x,
                                                float (*sums)[SIDE])
{
#pragma unroll
    for (int k = 0; k < STEP; k++) {
        const float4 row = *reinterpret_cast<const float4 *>(a + k * PITCH + y * SIDE);
        const float rows[SIDE] = {row.x, row.y, row.z, row.w};
#pragma unroll
        for (int j = 0; j < SIDE; j++) {
            const float column = b[k * PITCH + x + j * (TILE / SIDE)];
#pragma unroll
            for (int i = 0; i < SIDE; i++) sums[i][j] = fmaf(rows[i], column, sums[i][j]);
        }
    }
}

/* total += sums, which are zeros again. */
static __device__ __forceinline__ void add_part(float (*sums)[SIDE], float (*total)[SIDE])
{
#pragma unroll
    for (int i = 0; i < SIDE; i++) {
#pragma unroll
        for (int j = 0; j < SIDE; j++) {
            total[i][j] += sums[i][j];
            sums[i][j] = 0.0f;
        }
    }
}

/* What c is at m, n, from the sum over K. */
template <class Out>
static __device__ __forceinline__ void finish(const fsfm_cuda_product_args &args, int64_t m, int64_t n,
                                              float sum, Out *c)
{
    if (args.bias) sum += args.bias[n];
    if (args.added) sum += to_float(static_cast<const Out *>(args.added)[m * args.N + n]);
    c[m * args.N + n] = to_act<Out>(sum);
}

/* A block makes a tile of c; of its parts all, or, where the grid has a row for each part, one, and then
 * c (parts, M, N) holds their sums. */
template <class Act, class Out, bool a_transposed, bool b_transposed>
static __global__ void __launch_bounds__(THREADS) tile_kernel(fsfm_cuda_product_args args, int64_t part)
{
    __shared__ __align__(16) float a_tile[STEP * PITCH], b_tile[STEP * PITCH];
    const Act *a = static_cast<const Act *>(args.a), *b = static_cast<const Act *>(args.b);
    const unsigned across = (unsigned)((args.N + TILE - 1) / TILE);
    const int64_t M = args.M, N = args.N, K = args.K, m = blockIdx.x / across * (int64_t)TILE,
                  n = blockIdx.x % across * (int64_t)TILE;
    const int y = (int)threadIdx.x / (TILE / SIDE), x = (int)threadIdx.x % (TILE / SIDE);
    const int64_t first = blockIdx.y * part, last = gridDim.y > 1 && first + part < K ? first + part : K;
    float total[SIDE][SIDE] = {}, sums[SIDE][SIDE] = {}, a_next[FETCHES], b_next[FETCHES];
    fetch<!a_transposed>(a, M, K, m, first, last, a_next);
    fetch<b_transposed>(b, N, K, n, first, last, b_next);
    for (int64_t k = first; k < last;) {
        for (const int64_t end = k + part < last ? k + part : last; k < end; k += STEP) {
            put<!a_transposed>(a_tile, a_next);
            put<b_transposed>(b_tile, b_next);
            __syncthreads();
            fetch<!a_transposed>(a, M, K, m, k + STEP, last, a_next);
            fetch<b_transposed>(b, N, K, n, k + STEP, last, b_next);
            multiply(a_tile, b_tile, y, x, sums);
            __syncthreads();
        }
        add_part(sums, total);
    }
    Out *c = static_cast<Out *>(args.c) + blockIdx.y * M * N;
#pragma unroll
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int64_t row = m + y * SIDE + i / SIDE, column = n + x + i % SIDE * (TILE / SIDE);
        if (row < M && column < N) finish(args, row, column, total[i / SIDE][i % SIDE], c);
    }
}

/* partial (parts, M, N). */
template <class Out>
static __global__ void __launch_bounds__(THREADS)
    parts_kernel(fsfm_cuda_product_args args, int64_t parts, const float *partial)
{
    const int64_t count = args.M * args.N, i = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    if (i >= count) return;
    float total = 0.0f;
    for (int64_t p = 0; p < parts; p++) total += partial[p * count + i];
    finish(args, i / args.N, i % args.N, total, static_cast<Out *>(args.c));
}

/* Of all but the last part; a multiple of STEP, also where K is 0. */
static int64_t part_length(int64_t K)
{
    const int64_t most = K / PART < MOST_PARTS ? K / PART : (int64_t)MOST_PARTS;
    return most > 1 ? blocks_for(blocks_for(K, most), STEP) * STEP : blocks_for(K + 1, STEP) * STEP;
}

template <class Act, class Out>
static void launch_tiles(cudaStream_t stream, dim3 grid, const fsfm_cuda_product_args &args, int64_t part)
{
    if (args.a_transposed && args.b_transposed)
        LAUNCH((tile_kernel<Act, Out, true, true>), grid, THREADS, 0, stream, args, part);
    else if (args.a_transposed)
        LAUNCH((tile_kernel<Act, Out, true, false>), grid, THREADS, 0, stream, args, part);
    else if (args.b_transposed)
        LAUNCH((tile_kernel<Act, Out, false, true>), grid, THREADS, 0, stream, args, part);
    else
        LAUNCH((tile_kernel<Act, Out, false, false>), grid, THREADS, 0, stream, args, part);
}

template <class Act, class Out>
static void launch(const fsfm_cuda_queue *queue, const fsfm_cuda_product_args &args)
{
    const int64_t tiles = blocks_for(args.M, TILE) * blocks_for(args.N, TILE), part = part_length(args.K),
                  parts = blocks_for(args.K, part);
    if (parts <= 1 || tiles > FEW_TILES) {
        launch_tiles<Act, Out>(queue->stream, dim3((unsigned)tiles), args, part);
        return;
    }
    static_assert(FEW_TILES * TILE * TILE * MOST_PARTS * sizeof(float) <= FSFM_CUDA_SCRATCH_BYTES,
                  "parts of few tiles fit the scratch");
    fsfm_cuda_product_args partial = args;
    partial.bias = NULL;
    partial.added = NULL;
    partial.c = queue->scratch;
    launch_tiles<Act, float>(queue->stream, dim3((unsigned)tiles, (unsigned)parts), partial, part);
    LAUNCH(parts_kernel<Out>, (unsigned)blocks_for(args.M * args.N, THREADS), THREADS, 0, queue->stream, args,
           parts, static_cast<const float *>(queue->scratch));
}

cudaError_t fsfm_cuda_product(const fsfm_cuda_queue *queue, const fsfm_cuda_product_args *args)
{
    if (args->M == 0 || args->N == 0) return cudaSuccess;
    if (queue->precision == FSFM_PRECISION_FP32)
        launch<float, float>(queue, *args);
    else if (args->c_is_float)
        launch<bf16, float>(queue, *args);
    else
        launch<bf16, bf16>(queue, *args);
    return cudaGetLastError();
}
