/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/rows.cu - layer norm, and sums of rows. */
#include "core/device/cuda/columns.cuh"
#include "core/device/cuda/sums.cuh"
#include "core/device/cuda/wide_rows.cuh"

/* A row is held in the registers of a team of threads, V packs of W columns each; a block is (threads of a
 * team, teams) threads. A team is a warp as long as registers last; wider rows have a block each. */
typedef struct {
    int columns; /* V W, of a thread */
    dim3 block;
} row_team;

enum { TEAMS = 4, TEAM_THREADS = 512, WIDEST_ROW = 8 * TEAM_THREADS /* that registers hold */ };

static row_team team_for(int64_t C)
{
    if (C > 1024) return row_team{8, dim3((unsigned)(32 * blocks_for(C, 32 * 8)), 1)};
    return row_team{C <= 256 ? 8 : C <= 512 ? 16 : 32, dim3(32, TEAMS)};
}

template <int W, int V> constexpr bool IS_WARP = V *W > 8;
template <int W, int V> constexpr int BLOCK_THREADS = IS_WARP<W, V> ? 32 * TEAMS : TEAM_THREADS;
/* On a multiprocessor: the compiler would give backward a few registers too many for three, or, not asked,
 * too few for short rows. */
template <int W, int V> constexpr int LEAST_BLOCKS = W > 1 && V *W == 32 ? 3 : 1;

/* Column where the thread's v-th pack begins. */
template <int W, int V> static __device__ __forceinline__ int column_of(int v)
{
    return (v * (int)(IS_WARP<W, V> ? 32 : blockDim.x) + (int)threadIdx.x) * W;
}

/* Columns behind the end of the row are 0. */
template <int W, int V, class T>
static __device__ __forceinline__ void load_row(const T *row, int C, float (&to)[V][W])
{
#pragma unroll
    for (int v = 0; v < V; v++) {
        if (column_of<W, V>(v) < C) {
            load<W>(row + column_of<W, V>(v), to[v]);
        } else {
#pragma unroll
            for (int k = 0; k < W; k++) to[v][k] = 0.0f;
        }
    }
}

/* Over a team. shared (32). */
static __device__ __forceinline__ float team_sum(float x, float *shared)
{
    return blockDim.x == 32 ? warp_sum(x) : block_sum(x, shared);
}

/* Mean first, then the variance about it: E[x^2] - E[x]^2 cancels when |mean| >> std. */
template <int W, int V>
static __device__ __forceinline__ float mean_of(const float (&x)[V][W], int C, float *shared)
{
    float sum = 0.0f;
#pragma unroll
    for (int v = 0; v < V; v++)
#pragma unroll
        for (int k = 0; k < W; k++) sum += x[v][k];
    return team_sum(sum, shared) / (float)C;
}

template <int W, int V>
static __device__ __forceinline__ float variance_of(const float (&x)[V][W], float mean, int C, float *shared)
{
    float sum = 0.0f;
#pragma unroll
    for (int v = 0; v < V; v++)
#pragma unroll
        for (int k = 0; k < W; k++) {
            const float off = column_of<W, V>(v) < C ? x[v][k] - mean : 0.0f;
            sum += off * off;
        }
    return team_sum(sum, shared) / (float)C;
}

template <class X, class Act, int W, int V>
static __global__ void __launch_bounds__(BLOCK_THREADS<W, V>, LEAST_BLOCKS<W, V>)
    layernorm_rows(fsfm_layernorm_args a)
{
    __shared__ float shared[32];
    const int C = (int)a.C;
    const int64_t n = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    if (n >= a.N) return; /* a whole team */
    float x[V][W];
    load_row<W, V>(static_cast<const X *>(a.x) + n * C, C, x);
    const float mean = a.is_known ? a.mean[n] : mean_of<W, V>(x, C, shared);
    const float rstd = a.is_known ? a.rstd[n] : rsqrtf(variance_of<W, V>(x, mean, C, shared) + a.eps);
    Act *out = static_cast<Act *>(a.out) + n * C;
#pragma unroll
    for (int v = 0; v < V; v++) {
        const int c = column_of<W, V>(v);
        if (c >= C) continue;
        float weight[W], bias[W];
        load<W>(a.weight + c, weight);
        load<W>(a.bias + c, bias);
#pragma unroll
        for (int k = 0; k < W; k++) {
            const float y = (x[v][k] - mean) * rstd * weight[k] + bias[k];
            x[v][k] = a.relu && y < 0.0f ? 0.0f : y;
        }
        store<W>(out + c, x[v]);
    }
    if (threadIdx.x > 0 || a.is_known || !a.mean) return;
    a.mean[n] = mean;
    a.rstd[n] = rstd;
}

/* What a thread adds up over the rows of its team. */
template <int W, int V> struct column_sums {
    float dweight[V][W], dbias[V][W];
};

/* dout behind the relu's gate. */
template <class Act, int W, int V>
static __device__ __forceinline__ void load_gated(const fsfm_layernorm_backward_args &a, int64_t n,
                                                  float (&dout)[V][W])
{
    load_row<W, V>(static_cast<const Act *>(a.dout) + n * a.C, (int)a.C, dout);
    if (!a.relu) return;
#pragma unroll
    for (int v = 0; v < V; v++) {
        if (column_of<W, V>(v) >= (int)a.C) continue;
        float out[W];
        load<W>(static_cast<const Act *>(a.out) + n * a.C + column_of<W, V>(v), out);
#pragma unroll
        for (int k = 0; k < W; k++) dout[v][k] = out[k] > 0.0f ? dout[v][k] : 0.0f;
    }
}

/* x becomes xhat, dout becomes g = dout weight; the thread's sums of g and of g xhat. */
template <int W, int V>
static __device__ __forceinline__ float2 normalize_row(const fsfm_layernorm_backward_args &a, int64_t n,
                                                       float (&x)[V][W], float (&dout)[V][W],
                                                       column_sums<W, V> *sums)
{
    const float mean = a.mean[n], rstd = a.rstd[n];
    float sum_g = 0.0f, sum_gx = 0.0f;
#pragma unroll
    for (int v = 0; v < V; v++) {
        if (column_of<W, V>(v) >= (int)a.C) continue;
        float weight[W];
        load<W>(a.weight + column_of<W, V>(v), weight);
#pragma unroll
        for (int k = 0; k < W; k++) {
            x[v][k] = (x[v][k] - mean) * rstd;
            sums->dweight[v][k] += dout[v][k] * x[v][k];
            sums->dbias[v][k] += dout[v][k];
            dout[v][k] *= weight[k];
            sum_g += dout[v][k];
            sum_gx += dout[v][k] * x[v][k];
        }
    }
    return make_float2(sum_g, sum_gx);
}

template <class Act, int W, int V>
static __device__ __forceinline__ void store_dx(const fsfm_layernorm_backward_args &a, int64_t n,
                                                const float (&xhat)[V][W], const float (&g)[V][W],
                                                float2 means)
{
    const float rstd = a.rstd[n];
    Act *dx = static_cast<Act *>(a.dx) + n * a.C;
#pragma unroll
    for (int v = 0; v < V; v++) {
        if (column_of<W, V>(v) >= (int)a.C) continue;
        float value[W] = {};
        if (a.dx_adds) load<W>(dx + column_of<W, V>(v), value);
#pragma unroll
        for (int k = 0; k < W; k++) value[k] += rstd * (g[v][k] - means.x - xhat[v][k] * means.y);
        store<W>(dx + column_of<W, V>(v), value);
    }
}

/* part (2, C): the thread's columns of dweight, then of dbias. */
template <int W, int V>
static __device__ __forceinline__ void store_sums(const column_sums<W, V> &sums, int C, float *part)
{
#pragma unroll
    for (int v = 0; v < V; v++) {
        if (column_of<W, V>(v) >= C) continue;
        store<W>(part + column_of<W, V>(v), sums.dweight[v]);
        store<W>(part + C + column_of<W, V>(v), sums.dbias[v]);
    }
}

/* part (gridDim.x, 2, C). Dynamic shared memory: floats (teams, 2, C) if there is more than one team. */
template <class X, class Act, int W, int V>
static __global__ void __launch_bounds__(BLOCK_THREADS<W, V>, LEAST_BLOCKS<W, V>)
    layernorm_backward_rows(fsfm_layernorm_backward_args a, float *part)
{
    __shared__ float2 shared[32];
    DYNAMIC_SHARED(float, of_teams);
    column_sums<W, V> sums = {};
    for (int64_t n = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; n < a.N;
         n += (int64_t)gridDim.x * blockDim.y) { /* teams of one warp need not keep step with each other */
        float x[V][W], g[V][W];
        load_row<W, V>(static_cast<const X *>(a.x) + n * a.C, (int)a.C, x);
        load_gated<Act, W, V>(a, n, g);
        float2 sum = normalize_row<W, V>(a, n, x, g, &sums);
        if (blockDim.x == 32)
            sum = make_float2(warp_sum(sum.x), warp_sum(sum.y));
        else
            block_sums(&sum.x, &sum.y, shared);
        store_dx<Act, W, V>(a, n, x, g, make_float2(sum.x / (float)a.C, sum.y / (float)a.C));
    }
    part += 2 * a.C * blockIdx.x;
    if (blockDim.y == 1) {
        store_sums<W, V>(sums, (int)a.C, part);
        return;
    }
    store_sums<W, V>(sums, (int)a.C, of_teams + 2 * a.C * threadIdx.y);
    __syncthreads();
    for (int64_t c = threadIdx.y * blockDim.x + threadIdx.x; c < 2 * a.C; c += blockDim.x * blockDim.y) {
        float total = of_teams[c];
        for (unsigned team = 1; team < blockDim.y; team++) total += of_teams[2 * a.C * team + c];
        part[c] = total;
    }
}

/* launch.at<X, Act, W, V>() with the types of x and activations and the width that rows and pointers allow,
 * or launch.wide<X, Act>(). */
template <class X, class Act, int W, class Launch>
static cudaError_t with_width(const row_team &team, const Launch &launch)
{
    switch (team.columns) {
    case 8: return launch.template at<X, Act, W, 8 / W>();
    case 16: return launch.template at<X, Act, W, 16 / W>();
    default: return launch.template at<X, Act, W, 32 / W>();
    }
}

template <class X, class Act, class Launch> static cudaError_t with_types(int64_t C, const Launch &launch)
{
    constexpr int W = PACK<X, Act>;
    if (C > WIDEST_ROW) return launch.template wide<X, Act>();
    return launch.template is_packed_as<X, Act, W>() ? with_width<X, Act, W>(team_for(C), launch)
                                                     : with_width<X, Act, 1>(team_for(C), launch);
}

template <class Launch>
static cudaError_t with_row_type(const fsfm_cuda_queue *queue, int64_t N, int64_t C, bool x_is_float,
                                 const Launch &launch)
{
    if (N == 0 || C == 0) return cudaSuccess;
    if (queue->precision == FSFM_PRECISION_FP32) return with_types<float, float>(C, launch);
    return x_is_float ? with_types<float, bf16>(C, launch) : with_types<bf16, bf16>(C, launch);
}

struct layernorm_launch {
    const fsfm_cuda_queue *queue;
    const fsfm_layernorm_args *args;

    template <class X, class Act, int W> bool is_packed_as() const
    {
        return is_packed<W>(args->C, static_cast<const X *>(args->x), static_cast<const Act *>(args->out),
                            args->weight, args->bias);
    }

    template <class X, class Act, int W, int V> cudaError_t at() const
    {
        const dim3 block = team_for(args->C).block;
        LAUNCH((layernorm_rows<X, Act, W, V>), (unsigned)blocks_for(args->N, block.y), block, 0,
               queue->stream, *args);
        return cudaGetLastError();
    }

    template <class X, class Act> cudaError_t wide() const
    {
        LAUNCH((layernorm_wide<X, Act>), (unsigned)args->N, WIDE_THREADS, 0, queue->stream, *args);
        return cudaGetLastError();
    }
};

cudaError_t fsfm_cuda_layernorm(const fsfm_cuda_queue *queue, const fsfm_layernorm_args *args)
{
    return with_row_type(queue, args->N, args->C, args->x_is_float, layernorm_launch{queue, args});
}

/* Blocks of backward: three on each of an H100's multiprocessors, and more of those with short rows; as many
 * as scratch has room for. */
static int64_t backward_parts(int64_t N, int64_t C, unsigned teams)
{
    const int64_t rooms = (int64_t)(FSFM_CUDA_SCRATCH_BYTES / (2 * sizeof(float))) / C,
                  wanted = C < 662 ? (1 << 18) / C : 396, most = wanted < rooms ? wanted : rooms,
                  blocks = blocks_for(N, teams);
    return blocks < most ? blocks : most;
}

struct layernorm_backward_launch {
    const fsfm_cuda_queue *queue;
    const fsfm_layernorm_backward_args *args;

    template <class X, class Act, int W> bool is_packed_as() const
    {
        return is_packed<W>(args->C, static_cast<const X *>(args->x), static_cast<const Act *>(args->out),
                            static_cast<const Act *>(args->dout), static_cast<const Act *>(args->dx),
                            args->weight);
    }

    template <class X, class Act, int W, int V> cudaError_t at() const
    {
        const dim3 block = team_for(args->C).block;
        const int64_t parts = backward_parts(args->N, args->C, block.y);
        const size_t shared_bytes = block.y == 1 ? 0 : 2 * sizeof(float) * block.y * args->C;
        float *part = static_cast<float *>(queue->scratch);
        LAUNCH((layernorm_backward_rows<X, Act, W, V>), (unsigned)parts, block, shared_bytes, queue->stream,
               *args, part);
        return launch_add_parts(queue, parts, args->C, part, args->dweight, args->dbias);
    }

    template <class X, class Act> cudaError_t wide() const
    {
        const int64_t parts = backward_parts(args->N, args->C, 1);
        float *part = static_cast<float *>(queue->scratch);
        if (parts == 0) return cudaErrorInvalidValue; /* four million columns */
        LAUNCH((layernorm_backward_wide<X, Act>), (unsigned)parts, WIDE_THREADS, 0, queue->stream, *args,
               part);
        return launch_add_parts(queue, parts, args->C, part, args->dweight, args->dbias);
    }
};

cudaError_t fsfm_cuda_layernorm_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_layernorm_backward_args *args)
{
    return with_row_type(queue, args->N, args->C, args->x_is_float, layernorm_backward_launch{queue, args});
}

template <class Act>
static cudaError_t column_sums_of(const fsfm_cuda_queue *queue, int64_t N, int64_t C, const Act *x,
                                  float *sums)
{
    constexpr int W = PACK<Act>;
    return launch_column_sums<W>(queue, N, C, is_packed<W>(C, x), dense_rows<Act>{x, C}, sums);
}

cudaError_t fsfm_cuda_column_sums(const fsfm_cuda_queue *queue, int64_t N, int64_t C, const fsfm_act *x,
                                  float *sums)
{
    return queue->precision == FSFM_PRECISION_BF16
               ? column_sums_of(queue, N, C, static_cast<const bf16 *>(x), sums)
               : column_sums_of(queue, N, C, static_cast<const float *>(x), sums);
}
