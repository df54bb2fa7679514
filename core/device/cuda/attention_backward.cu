/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/attention_backward.cu - a block for each head of each image, in two phases, so that no sum
 * goes over warps: with K and V in shared memory a warp takes 16 queries at a time and has their dQ; then,
 * with Q and dO there, 16 keys and their dK and dV. Scores are computed in both: 7 products, not 5. */
#include "core/device/cuda/attention_launch.cuh"

/* Warps of a block at most and blocks of an SM at least: registers bound them. */
enum { MOST_WARPS = 4 };
template <class Act, int DP> constexpr int BLOCKS = sizeof(Act) == 4 || DP > 64 ? 2 : DP > 32 ? 3 : 4;

/* Tiles of shared memory that are a warp's own: left factors stay there if they are floats. */
template <class Act> constexpr int OWN_TILES = sizeof(Act) == 4 ? 2 : 1;

/* Of a query: the logarithm to base 2 of its softmax's denominator (infinite if it is not there, so that its
 * weights are 0), and dout . out. */
struct query_constants {
    float log_sum, delta;
};

template <class Act, int DP> struct block_memory {
    Act *x, *y; /* (chunk, PITCH) */
    Act *own, *second_own;
    query_constants *queries; /* (Tq to whole tiles) */
    int chunk;

    __device__ __forceinline__ block_memory(Act *shared, int chunk) : chunk(chunk)
    {
        constexpr int NUMBERS = TILE_NUMBERS<Act, DP>;
        const int warp = (int)(threadIdx.x / 32), warps = (int)(blockDim.x / 32);
        Act *tiles = shared + 2 * chunk * PITCH<Act, DP>;
        x = shared, y = shared + chunk * PITCH<Act, DP>;
        own = tiles + warp * OWN_TILES<Act> * NUMBERS, second_own = own + (OWN_TILES<Act> - 1) * NUMBERS;
        queries = reinterpret_cast<query_constants *>(tiles + warps * OWN_TILES<Act> * NUMBERS);
    }
};

/* dq of 16 queries += that of 8 N keys, of which left are there. */
template <class Act, int DP, int N>
static __device__ __forceinline__ void
add_dq(float (&dq)[DP / 8][4], const left_tile<Act, DP> &q, const left_tile<Act, DP> &dout, const Act *k,
       const Act *v, int left, const query_constants (&query)[2], const score_scale &scale)
{
    float s[N][4], dp[N][4];
    set_zero(s);
    set_zero(dp);
    multiply_transposed<DP, N>(s, q, k);
    multiply_transposed<DP, N>(dp, dout, v);
    if (left <= 8 * N) end_of_keys<N>(s, left, scale);
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float p = exp2_fast(fmaf(s[n][i], scale.to_log2, -query[i / 2].log_sum));
            dp[n][i] = p * (dp[n][i] - query[i / 2].delta);
        }
    multiply<DP, N>(dq, dp, k);
}

/* dk and dv of 16 keys += those of 16 queries. last: the row of the last key, if it is one of the 16. */
template <class Act, int DP>
static __device__ __forceinline__ void
add_dk_dv(float (&dk)[DP / 8][4], float (&dv)[DP / 8][4], const left_tile<Act, DP> &k,
          const left_tile<Act, DP> &v, const Act *q, const Act *dout, const query_constants *queries,
          int last, const score_scale &scale)
{
    float p[2][4], dp[2][4];
    set_zero(p);
    set_zero(dp);
    multiply_transposed<DP, 2>(p, k, q);
    multiply_transposed<DP, 2>(dp, v, dout);
    if (last < TILE) last_row(p, last, scale);
#pragma unroll
    for (int n = 0; n < 2; n++) {
        /* the constants of own_column() and the next */
        const float4 two = *reinterpret_cast<const float4 *>(queries + n * 8 + own_column());
#pragma unroll
        for (int i = 0; i < 4; i++) {
            p[n][i] = exp2_fast(fmaf(p[n][i], scale.to_log2, i % 2 ? -two.z : -two.x));
            dp[n][i] = p[n][i] * (dp[n][i] - (i % 2 ? two.w : two.y));
        }
    }
    multiply<DP, 2>(dv, p, dout);
    multiply<DP, 2>(dk, dp, q);
}

/* The constants of the tile from query on: in registers and, for the other phase, in shared memory. */
static __device__ __forceinline__ void set_constants(query_constants (&of)[2], query_constants *shared,
                                                     const float *log_sum, int there, const float (&delta)[2])
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = own_row() + 8 * i;
        of[i] = {row < there ? log_sum[row] * 1.44269504f : INFINITY, delta[i]};
        if (own_column() == 0 && there > 0) shared[row] = of[i];
    }
}

/* The rows of the block's head, from row t on. */
template <class Act> struct head_arrays {
    const fsfm_attention_backward_args &a;
    const block_head head;

    __device__ __forceinline__ head_rows<const Act> of_queries(const fsfm_act *array, int t) const
    {
        return head.rows(static_cast<const Act *>(array), a.Tq, a.q_stride, t);
    }
    __device__ __forceinline__ head_rows<const Act> of_keys(const fsfm_act *array, int t) const
    {
        return head.rows(static_cast<const Act *>(array), a.T, a.kv_stride, t);
    }
    __device__ __forceinline__ head_rows<const Act> of_out(const fsfm_act *array, int t) const
    {
        return head.rows(static_cast<const Act *>(array), a.Tq, a.H * a.D, t);
    }
    __device__ __forceinline__ head_rows<Act> dq(int t) const
    {
        return head.rows(static_cast<Act *>(a.dq), a.Tq, a.q_stride, t);
    }
    __device__ __forceinline__ head_rows<Act> of_dkv(fsfm_act *array, int t) const
    {
        return head.rows(static_cast<Act *>(array), a.T, a.kv_stride, t);
    }
};

/* The queries from one on as left factors of its scores and their gradients; and their constants. */
template <class Act, int DP>
static __device__ __forceinline__ void
take_queries(const head_arrays<Act> &of, const block_memory<Act, DP> &m, int query, left_tile<Act, DP> &q,
             left_tile<Act, DP> &dout, query_constants (&constants)[2])
{
    const tile_on_its_way<Act, DP> out_way(of.of_out(of.a.out, query)), dout_way(of.of_out(of.a.dout, query)),
        q_way(of.of_queries(of.a.q, query));
    left_tile<Act, DP> out;
    float delta[2];
    out.take(out_way, m.own);
    dout.take(dout_way, m.second_own);
    dout.dot_rows(out, delta);
    q.take(q_way, m.own);
    set_constants(constants, m.queries + query, of.a.log_sum + known_here(blockIdx.x) * of.a.Tq + query,
                  (int)of.a.Tq - query, delta);
}

/* dq, and the queries' constants in shared memory. */
template <class Act, int DP>
static __device__ __forceinline__ void queries_phase(const head_arrays<Act> &of,
                                                     const block_memory<Act, DP> &m, const score_scale &scale,
                                                     float root)
{
    const int Tq = (int)of.a.Tq, T = (int)of.a.T;
    const bool is_in_parts = m.chunk < T;
    request_two<Act, DP>(m.x, of.of_keys(of.a.k, 0), m.y, of.of_keys(of.a.v, 0), m.chunk);
#pragma unroll 1
    for (int turn = 0; turn < Tq; turn += (int)(blockDim.x / 32) * TILE) {
        const int query = turn + (int)(threadIdx.x / 32) * TILE;
        left_tile<Act, DP> q, dout;
        query_constants constants[2];
        take_queries(of, m, query, q, dout, constants);
        float dq[DP / 8][4];
        set_zero(dq);
#pragma unroll 1
        for (int key = 0; key < T; key += m.chunk) {
            if (is_in_parts && turn + key > 0)
                request_two<Act, DP>(m.x, of.of_keys(of.a.k, key), m.y, of.of_keys(of.a.v, key), m.chunk);
            if (is_in_parts || turn == 0) await_rows();
            const int end = query < Tq ? min(T - key, m.chunk) : 0;
#pragma unroll 1
            for (int at = 0; at < end; at += TILE)
                add_dq<Act, DP, 2>(dq, q, dout, m.x + at * PITCH<Act, DP>, m.y + at * PITCH<Act, DP>,
                                   T - key - at, constants, scale);
        }
        if (query < Tq) store_tile<Act, DP>(of.dq(query), dq, root, root, m.own);
    }
}

/* dk and dv. */
template <class Act, int DP>
static __device__ __forceinline__ void keys_phase(const head_arrays<Act> &of, const block_memory<Act, DP> &m,
                                                  const score_scale &scale, float root)
{
    const int Tq = (int)of.a.Tq, T = (int)of.a.T;
    const bool is_in_parts = m.chunk < Tq;
    request_two<Act, DP>(m.x, of.of_queries(of.a.q, 0), m.y, of.of_out(of.a.dout, 0), m.chunk);
#pragma unroll 1
    for (int turn = 0; turn < T; turn += (int)(blockDim.x / 32) * TILE) {
        const int key = turn + (int)(threadIdx.x / 32) * TILE;
        left_tile<Act, DP> k, v;
        const tile_on_its_way<Act, DP> k_way(of.of_keys(of.a.k, key)), v_way(of.of_keys(of.a.v, key));
        k.take(k_way, m.own);
        v.take(v_way, m.second_own);
        float dk[DP / 8][4], dv[DP / 8][4];
        set_zero(dk);
        set_zero(dv);
#pragma unroll 1
        for (int query = 0; query < Tq; query += m.chunk) {
            if (is_in_parts && turn + query > 0)
                request_two<Act, DP>(m.x, of.of_queries(of.a.q, query), m.y, of.of_out(of.a.dout, query),
                                     m.chunk);
            if (is_in_parts || turn == 0) await_rows();
            const int end = key < T ? min(Tq - query, m.chunk) : 0;
#pragma unroll 1
            for (int at = 0; at < end; at += TILE)
                add_dk_dv<Act, DP>(dk, dv, k, v, m.x + at * PITCH<Act, DP>, m.y + at * PITCH<Act, DP>,
                                   m.queries + query + at, T - 1 - key, scale);
        }
        if (key >= T) continue;
        store_tile<Act, DP>(of.of_dkv(of.a.dk, key), dk, root, root, m.own);
        store_tile<Act, DP>(of.of_dkv(of.a.dv, key), dv, 1.0f, 1.0f, m.own);
    }
}

template <class Act, int DP>
static __global__ void __launch_bounds__(MOST_WARPS * 32, BLOCKS<Act, DP>)
    attention_backward_kernel(const fsfm_attention_backward_args a, const score_scale scale, const float root,
                              const int chunk, const bool is_packed)
{
    DYNAMIC_SHARED(Act, shared);
    const block_memory<Act, DP> memory(shared, chunk);
    const head_arrays<Act> arrays = {a, head_of_block(a.H, a.D, is_packed)};
    queries_phase(arrays, memory, scale, root);
    keys_phase(arrays, memory, scale, root);
}

template <class Act, int DP> struct attention_backward_launcher {
    static cudaError_t run(const fsfm_cuda_queue *queue, const fsfm_attention_backward_args *args)
    {
        const int64_t Tq = args->Tq, T = args->T, longer = Tq > T ? Tq : T;
        const block_shape shape =
            shape_of_block<Act, DP>(longer, longer, MOST_WARPS, OWN_TILES<Act>,
                                    blocks_for(Tq, TILE) * TILE * (int64_t)sizeof(query_constants));
        return launch_heads(queue, attention_backward_kernel<Act, DP>, args->B * args->H, shape, *args,
                            scale_of(args->D, args->last_multiplicity), 1.0f / sqrtf((float)args->D),
                            (int)shape.chunk,
                            rows_are_packed<Act>(*args, args->out, args->dout, args->dq, args->dk, args->dv));
    }
};

cudaError_t fsfm_cuda_attention_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_attention_backward_args *args)
{
    if (args->B * args->H * (args->Tq + args->T) == 0) return cudaSuccess;
    return launch_attention<attention_backward_launcher>(queue, args);
}
