/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/attention_launch.cuh - the shape of attention's blocks, and which kernel a head width
 * takes. */
#ifndef FSFM_CORE_DEVICE_CUDA_ATTENTION_LAUNCH_CUH
#define FSFM_CORE_DEVICE_CUDA_ATTENTION_LAUNCH_CUH

#include <math.h>

#include "core/device/cuda/attention_tiles.cuh"

/* Shared memory of a block at most. bf16: nearly what an A100 gives to one block, so that heads up to T = 400
 * are there as a whole. float: two blocks on an H100, as longer heads can come in parts. */
template <class Act> constexpr int64_t SHARED_MOST = sizeof(Act) == 2 ? 160 << 10 : 112 << 10;

/* A block: warps that take one tile of rows at a time, and two arrays of chunk rows in shared memory. */
struct block_shape {
    int64_t warps, chunk; /* chunk 0: does not fit */
    int64_t shared_bytes;
};

/* Of a kernel whose warps take the tiles of `rows` rows, in as few turns as most_warps can, while up to
 * `staged` rows are in shared memory, with own_tiles of every warp and other_bytes. */
template <class Act, int DP>
static block_shape shape_of_block(int64_t rows, int64_t staged, int64_t most_warps, int64_t own_tiles,
                                  int64_t other_bytes)
{
    const int64_t tile_bytes = TILE_NUMBERS<Act, DP> * (int64_t)sizeof(Act);
    const int64_t tiles = rows > TILE ? blocks_for(rows, TILE) : 1, turns = blocks_for(tiles, most_warps);
    block_shape shape = {blocks_for(tiles, turns), 0, 0};
    const int64_t rest_bytes = shape.warps * own_tiles * tile_bytes + other_bytes;
    if (rest_bytes + 2 * tile_bytes > SHARED_MOST<Act>) return shape;
    const int64_t staged_tiles = staged > TILE ? blocks_for(staged, TILE) : 1,
                  parts = blocks_for(staged_tiles, (SHARED_MOST<Act> - rest_bytes) / (2 * tile_bytes)),
                  part_tiles = blocks_for(staged_tiles, parts);
    shape.chunk = part_tiles * TILE;
    shape.shared_bytes = rest_bytes + 2 * tile_bytes * part_tiles;
    return shape;
}

/* Whether all rows are aligned pieces: those of q, k, v and the arrays like them, and of others, (B, Tq, H,
 * D). */
template <class Act, class Args, class... T> static bool rows_are_packed(const Args &a, const T *...others)
{
    return is_packed<PIECE<Act>>(a.D, static_cast<const Act *>(a.q), static_cast<const Act *>(a.k),
                                 static_cast<const Act *>(a.v), static_cast<const Act *>(others)...) &&
           a.q_stride % PIECE<Act> == 0 && a.kv_stride % PIECE<Act> == 0;
}

static inline score_scale scale_of(int64_t D, float last_multiplicity)
{
    const float root = sqrtf((float)D);
    return {1.44269504f / root, logf(last_multiplicity) * root};
}

/* kernel<<<heads, shape>>>(arguments) */
template <class... Parameters, class... Arguments>
static cudaError_t launch_heads(const fsfm_cuda_queue *queue, void (*kernel)(Parameters...), int64_t heads,
                                const block_shape &shape, const Arguments &...arguments)
{
    if (heads > INT32_MAX || shape.chunk == 0) return cudaErrorInvalidValue;
    if (shape.shared_bytes > 48 << 10) {
        const cudaError_t allowed = ALLOW_SHARED(kernel, shape.shared_bytes);
        if (allowed != cudaSuccess) return allowed;
    }
    LAUNCH(kernel, (unsigned)heads, (unsigned)shape.warps * 32, (size_t)shape.shared_bytes, queue->stream,
           arguments...);
    return cudaGetLastError();
}

/* Launcher<Act, DP>::run(queue, args) with the smallest DP that takes D. */
template <template <class, int> class Launcher, class Act, class Args>
static cudaError_t launch_by_width(const fsfm_cuda_queue *queue, const Args *args)
{
    if (args->D <= 16) return Launcher<Act, 16>::run(queue, args);
    if (args->D <= 32) return Launcher<Act, 32>::run(queue, args);
    if (args->D <= 48) return Launcher<Act, 48>::run(queue, args);
    if (args->D <= 64) return Launcher<Act, 64>::run(queue, args);
    if (args->D <= 80) return Launcher<Act, 80>::run(queue, args);
    return cudaErrorInvalidValue;
}

template <template <class, int> class Launcher, class Args>
static cudaError_t launch_attention(const fsfm_cuda_queue *queue, const Args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? launch_by_width<Launcher, bf16>(queue, args)
                                                   : launch_by_width<Launcher, float>(queue, args);
}

#endif
