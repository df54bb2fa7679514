/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/attention.cu - a block for each head of each image. K and V are in shared memory; a warp
 * takes 16 queries at a time past all keys and keeps their softmax as it goes: no scores in memory. */
#include "core/device/cuda/attention_launch.cuh"

/* Warps of a block at most and blocks of an SM at least, as registers and shared memory allow. T = 197 is 13
 * tiles: two turns of 7 warps or four of 4; T = 257 is 17: three turns of 6. */
template <class Act, int DP> constexpr int MOST_WARPS = sizeof(Act) == 4 || DP <= 32 ? 4 : DP <= 64 ? 7 : 6;
template <class Act, int DP> constexpr int BLOCKS = sizeof(Act) == 2 && DP <= 32 ? 5 : 2;

/* 16 queries after some of the keys. */
template <int DP> struct attended {
    float out[DP / 8][4];       /* sums of p v: scores' exponentials, less the largest's */
    float largest[2], total[2]; /* of own_row() and own_row() + 8; the largest score, the lane's sum of p */
};

/* N pairs of keys and values more, of which left are there. */
template <class Act, int DP, int N>
static __device__ __forceinline__ void attend(attended<DP> &to, const left_tile<Act, DP> &q, const Act *k,
                                              const Act *v, int left, const score_scale &scale)
{
    float s[N][4];
    set_zero(s);
    multiply_transposed<DP, N>(s, q, k);
    if (left <= 8 * N) end_of_keys<N>(s, left, scale);
    float rescale[2], largest[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float most = to.largest[i];
#pragma unroll
        for (int n = 0; n < N; n++) most = fmaxf(most, fmaxf(s[n][2 * i], s[n][2 * i + 1]));
        most = row_max(most);
        rescale[i] = exp2_fast((to.largest[i] - most) * scale.to_log2);
        to.total[i] *= rescale[i];
        to.largest[i] = most;
        largest[i] = most * scale.to_log2;
    }
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            s[n][i] = exp2_fast(fmaf(s[n][i], scale.to_log2, -largest[i / 2]));
            to.total[i / 2] += s[n][i];
        }
#pragma unroll
    for (int d = 0; d < DP / 8; d++)
#pragma unroll
        for (int i = 0; i < 4; i++) to.out[d][i] *= rescale[i / 2];
    multiply<DP, N>(to.out, s, v);
}

/* The keys and values of a chunk in shared memory: first those of large steps. */
template <class Act, int DP>
static __device__ __forceinline__ void attend_chunk(attended<DP> &to, const left_tile<Act, DP> &q,
                                                    const Act *k, const Act *v, int chunk, int left,
                                                    const score_scale &scale)
{
    constexpr int N = 4;
    const int end = left < chunk ? left : chunk;
    int key = 0;
#pragma unroll 1
    for (; key + 8 * (N - 2) < end; key += 8 * N)
        attend<Act, DP, N>(to, q, k + key * PITCH<Act, DP>, v + key * PITCH<Act, DP>, left - key, scale);
#pragma unroll 1
    for (; key < end; key += TILE)
        attend<Act, DP, 2>(to, q, k + key * PITCH<Act, DP>, v + key * PITCH<Act, DP>, left - key, scale);
}

/* log_sum: of the head's queries from the tile's first one, of which left are there; or NULL. */
template <class Act, int DP>
static __device__ __forceinline__ void finish(attended<DP> &of, const head_rows<Act> &out, float *log_sum,
                                              const score_scale &scale, Act *own)
{
    float inverse[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const float total = row_sum(of.total[i]);
        const int row = own_row() + 8 * i;
        inverse[i] = 1.0f / total;
        if (log_sum && own_column() == 0 && row < out.count)
            log_sum[row] = (of.largest[i] * scale.to_log2 + log2f(total)) * 0.693147181f;
    }
    store_tile<Act, DP>(out, of.out, inverse[0], inverse[1], own);
}

template <class Act, int DP>
static __global__ void __launch_bounds__(MOST_WARPS<Act, DP> * 32, BLOCKS<Act, DP>)
    attention_kernel(const fsfm_attention_args a, const score_scale scale, const int chunk,
                     const bool is_packed)
{
    DYNAMIC_SHARED(Act, shared);
    const int warp = (int)(threadIdx.x / 32), T = (int)a.T, Tq = (int)a.Tq;
    Act *k_shared = shared, *v_shared = k_shared + chunk * PITCH<Act, DP>,
        *own = v_shared + chunk * PITCH<Act, DP> + warp * TILE_NUMBERS<Act, DP>;
    const block_head head = head_of_block(a.H, a.D, is_packed);
    const auto keys = [&](const fsfm_act *array, int key) {
        return head.rows(static_cast<const Act *>(array), T, a.kv_stride, key);
    };
    const bool is_in_parts = chunk < T;
    request_two<Act, DP>(k_shared, keys(a.k, 0), v_shared, keys(a.v, 0), chunk);
#pragma unroll 1
    for (int turn = 0; turn < Tq; turn += (int)(blockDim.x / 32) * TILE) {
        const int query = turn + warp * TILE;
        left_tile<Act, DP> queries;
        queries.take(
            tile_on_its_way<Act, DP>(head.rows(static_cast<const Act *>(a.q), Tq, a.q_stride, query)), own);
        attended<DP> sums = {{}, {-INFINITY, -INFINITY}, {0.0f, 0.0f}};
#pragma unroll 1
        for (int key = 0; key < T; key += chunk) {
            if (is_in_parts && turn + key > 0)
                request_two<Act, DP>(k_shared, keys(a.k, key), v_shared, keys(a.v, key), chunk);
            if (is_in_parts || turn == 0) await_rows();
            if (query < Tq) attend_chunk<Act, DP>(sums, queries, k_shared, v_shared, chunk, T - key, scale);
        }
        if (query < Tq) {
            float *log_sum = a.log_sum ? a.log_sum + known_here(blockIdx.x) * a.Tq + query : nullptr;
            finish<Act, DP>(sums, head.rows(static_cast<Act *>(a.out), Tq, a.H * a.D, query), log_sum, scale,
                            own);
        }
    }
}

template <class Act, int DP> struct attention_launcher {
    static cudaError_t run(const fsfm_cuda_queue *queue, const fsfm_attention_args *args)
    {
        const block_shape shape = shape_of_block<Act, DP>(args->Tq, args->T, MOST_WARPS<Act, DP>, 1, 0);
        return launch_heads(queue, attention_kernel<Act, DP>, args->B * args->H, shape, *args,
                            scale_of(args->D, args->last_multiplicity), (int)shape.chunk,
                            rows_are_packed<Act>(*args, args->out));
    }
};

cudaError_t fsfm_cuda_attention(const fsfm_cuda_queue *queue, const fsfm_attention_args *args)
{
    if (args->B * args->H * args->Tq == 0) return cudaSuccess;
    return launch_attention<attention_launcher>(queue, args);
}
