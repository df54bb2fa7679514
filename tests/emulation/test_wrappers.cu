// SPDX-License-Identifier: Apache-2.0
// tests/emulation/test_wrappers.cu - each wrapper of core/device/cuda/port.h, and the words of CUDA that
// kernels use, against definitions written down here. Compiled by g++ it tests the emulated device, by nvcc a
// GPU.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "core/device/cuda/port.h"

static constexpr int lanes = 32, skipped_exit_code = 77;
static int failures;

static void expect(bool is_right, const char *what, int lane, int element, double got, double want)
{
    if (is_right) return;
    if (failures++ < 20)
        printf("%s: lane %d, element %d is %.9g, expected %.9g\n", what, lane, element, got, want);
}

static void expect_success(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return;
    printf("%s: %s\n", what, cudaGetErrorString(error));
    exit(EXIT_FAILURE);
}

// A copy of values on the device, or the device's values here.
template <class T> static T *upload(const std::vector<T> &values)
{
    void *copy = nullptr;
    expect_success(cudaMalloc(&copy, values.size() * sizeof(T)), "cudaMalloc");
    expect_success(cudaMemcpy(copy, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
                   "upload");
    return static_cast<T *>(copy);
}

// Ends a device array's life.
template <class T> static std::vector<T> download(T *values, size_t count)
{
    std::vector<T> copy(count);
    expect_success(cudaDeviceSynchronize(), "kernel");
    expect_success(cudaMemcpy(copy.data(), values, count * sizeof(T), cudaMemcpyDeviceToHost), "download");
    expect_success(cudaFree(values), "cudaFree");
    return copy;
}

static float random_number()
{
    return 2.0f * (float)rand() / (float)RAND_MAX - 1.0f;
}

static float float_of(uint16_t bits)
{
    const uint32_t word = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

static std::vector<uint16_t> random_bf16(size_t count)
{
    std::vector<uint16_t> values(count);
    for (uint16_t &value : values) {
        const float x = random_number();
        uint32_t word;
        memcpy(&word, &x, sizeof word);
        value = (uint16_t)(word >> 16);
    }
    return values;
}

// ---- mma: d (16, 8) = a (16, 16) b (16, 8) + c (16, 8), of one warp

static __global__ void mma_kernel(const uint32_t *a, const uint32_t *b, const float *c, float *d,
                                  float *in_place)
{
    const int l = (int)threadIdx.x;
    float product[4], sum[4];
    for (int i = 0; i < 4; i++) sum[i] = c[l * 4 + i];
    mma_16x8x16(product, a + l * 4, b + l * 2, sum);
    mma_16x8x16(sum, a + l * 4, b + l * 2, sum);
    for (int i = 0; i < 4; i++) {
        d[l * 4 + i] = product[i];
        in_place[l * 4 + i] = sum[i];
    }
}

// NVIDIA's published layouts (CuTe): number v of lane t has place t % 4 * 32 + t / 4 + bits of v, which
// counts down the columns of a (16, 16) and c (16, 8), and, with half the strides, along n of b (16, 8).
static int place_in_a(int t, int v)
{
    return t % 4 * 32 + t / 4 + v % 2 * 16 + v / 2 % 2 * 8 + v / 4 * 128;
}

static int place_in_b(int t, int v)
{
    return t % 4 * 16 + t / 4 + v % 2 * 8 + v / 2 * 64;
}

static void test_mma()
{
    const std::vector<uint16_t> a = random_bf16(16 * 16), b = random_bf16(16 * 8); // a[m][k], b[k][n]
    std::vector<float> c(16 * 8), fragments_c(lanes * 4);                          // c[m][n]
    std::vector<uint32_t> fragments_a(lanes * 4), fragments_b(lanes * 2);
    for (float &x : c) x = random_number();
    for (int t = 0; t < lanes; t++) {
        for (int v = 0; v < 8; v++) {
            const int place = place_in_a(t, v), m = place % 16, k = place / 16;
            fragments_a[t * 4 + v / 2] |= (uint32_t)a[m * 16 + k] << v % 2 * 16;
        }
        for (int v = 0; v < 4; v++) {
            const int place = place_in_b(t, v), n = place % 8, k = place / 8;
            fragments_b[t * 2 + v / 2] |= (uint32_t)b[k * 8 + n] << v % 2 * 16;
            fragments_c[t * 4 + v] = c[place_in_a(t, v) % 16 * 8 + place_in_a(t, v) / 16];
        }
    }
    float *d = upload(std::vector<float>(lanes * 4)), *in_place = upload(std::vector<float>(lanes * 4));
    uint32_t *a_dev = upload(fragments_a), *b_dev = upload(fragments_b);
    float *c_dev = upload(fragments_c);
    LAUNCH(mma_kernel, 1, lanes, 0, nullptr, a_dev, b_dev, c_dev, d, in_place);
    download(a_dev, 1), download(b_dev, 1), download(c_dev, 1);
    const std::vector<float> got = download(d, lanes * 4), got_in_place = download(in_place, lanes * 4);
    for (int t = 0; t < lanes; t++) {
        for (int v = 0; v < 4; v++) {
            const int m = place_in_a(t, v) % 16, n = place_in_a(t, v) / 16;
            double want = c[m * 8 + n];
            for (int k = 0; k < 16; k++) want += (double)float_of(a[m * 16 + k]) * float_of(b[k * 8 + n]);
            expect(fabs(got[t * 4 + v] - want) <= 1e-5, "mma", t, v, got[t * 4 + v], want);
            expect(got_in_place[t * 4 + v] == got[t * 4 + v], "mma in place", t, v, got_in_place[t * 4 + v],
                   got[t * 4 + v]);
        }
    }
}

// ---- ldmatrix: matrix i is rows 8 i to 8 i + 7 of 8 columns of an array whose rows are 24 long

static constexpr int row_length = 24;

static __global__ void ldmatrix_kernel(const uint16_t *values, uint32_t *straight, uint32_t *transposed,
                                       uint32_t *two)
{
    __shared__ __align__(16) uint16_t rows[lanes * row_length];
    const int l = (int)threadIdx.x;
    for (int i = 0; i < row_length; i++) rows[l * row_length + i] = values[l * row_length + i];
    __syncthreads();
    uint32_t fragments[4];
    ldmatrix_x4(fragments, rows + l * row_length + 8);
    for (int i = 0; i < 4; i++) straight[l * 4 + i] = fragments[i];
    ldmatrix_x4_transposed(fragments, rows + l * row_length);
    for (int i = 0; i < 4; i++) transposed[l * 4 + i] = fragments[i];
    ldmatrix_x2_transposed(fragments, rows + l % 16 * row_length + 16);
    for (int i = 0; i < 2; i++) two[l * 2 + i] = fragments[i];
}

// Lane t holds two numbers of each matrix: of row t / 4, from column 2 (t % 4).
static void expect_fragments(const char *what, const std::vector<uint32_t> &fragments, int count,
                             const std::vector<uint16_t> &values, int first_column, bool is_transposed)
{
    for (int t = 0; t < lanes; t++) {
        for (int i = 0; i < count; i++) {
            for (int half = 0; half < 2; half++) {
                const int row = t / 4, column = t % 4 * 2 + half;
                const int r = i * 8 + (is_transposed ? column : row), c = is_transposed ? row : column;
                const uint32_t got = fragments[t * count + i] >> half * 16 & 0xffffu;
                const uint32_t want = values[r * row_length + first_column + c];
                expect(got == want, what, t, i * 2 + half, got, want);
            }
        }
    }
}

static void test_ldmatrix()
{
    std::vector<uint16_t> values(lanes * row_length);
    for (size_t i = 0; i < values.size(); i++) values[i] = (uint16_t)(i * 37 + 1);
    uint16_t *values_dev = upload(values);
    uint32_t *straight = upload(std::vector<uint32_t>(lanes * 4));
    uint32_t *transposed = upload(std::vector<uint32_t>(lanes * 4));
    uint32_t *two = upload(std::vector<uint32_t>(lanes * 2));
    LAUNCH(ldmatrix_kernel, 1, lanes, 0, nullptr, values_dev, straight, transposed, two);
    download(values_dev, 1);
    expect_fragments("ldmatrix x4", download(straight, lanes * 4), 4, values, 8, false);
    expect_fragments("ldmatrix x4 transposed", download(transposed, lanes * 4), 4, values, 0, true);
    expect_fragments("ldmatrix x2 transposed", download(two, lanes * 2), 2, values, 16, true);
}

// ---- cp.async: three groups of 16 bytes a thread, one of zeros; each is read by another thread

static __global__ void copy_kernel(const uint32_t *values, uint32_t *out)
{
    DYNAMIC_SHARED(uint32_t, stage); // (3, lanes, 4)
    const int l = (int)threadIdx.x, other = (l + 5) % lanes;
    for (int group = 0; group < 3; group++) {
        cp_async_16(stage + (group * lanes + l) * 4, values + (group * lanes + l) * 4, group != 1);
        cp_async_commit();
    }
    cp_async_wait<2>();
    __syncthreads();
    for (int i = 0; i < 4; i++) out[l * 4 + i] = stage[other * 4 + i];
    cp_async_wait<0>();
    __syncthreads();
    for (int group = 1; group < 3; group++)
        for (int i = 0; i < 4; i++) out[(group * lanes + l) * 4 + i] = stage[(group * lanes + other) * 4 + i];
}

static void test_copies()
{
    std::vector<uint32_t> values(3 * lanes * 4);
    for (size_t i = 0; i < values.size(); i++) values[i] = (uint32_t)i + 1;
    uint32_t *values_dev = upload(values), *out = upload(std::vector<uint32_t>(values.size()));
    LAUNCH(copy_kernel, 1, lanes, values.size() * sizeof(uint32_t), nullptr, values_dev, out);
    download(values_dev, 1);
    const std::vector<uint32_t> got = download(out, values.size());
    for (int group = 0; group < 3; group++) {
        for (int i = 0; i < lanes * 4; i++) {
            const int source = (group * lanes + (i / 4 + 5) % lanes) * 4 + i % 4;
            const uint32_t want = group == 1 ? 0 : values[source];
            expect(got[group * lanes * 4 + i] == want, "cp.async", i / 4, group * 4 + i % 4,
                   got[group * lanes * 4 + i], want);
        }
    }
}

// ---- functions of a number

static __global__ void exp2_kernel(const float *x, float *y, int count)
{
    for (int i = (int)threadIdx.x; i < count; i += lanes) y[i] = exp2_fast(x[i]);
}

static void test_exp2()
{
    std::vector<float> x = {0.0f,    -0.0f,     1.0f,   -1.0f,  -126.0f, -127.5f,
                            -200.0f, -INFINITY, 127.0f, 128.0f, 1e-40f};
    for (int i = 0; i < 1000; i++) x.push_back(120.0f * random_number());
    const int count = (int)x.size();
    float *x_dev = upload(x), *y = upload(std::vector<float>(x.size()));
    LAUNCH(exp2_kernel, 1, lanes, 0, nullptr, x_dev, y, count);
    download(x_dev, 1);
    const std::vector<float> got = download(y, x.size());
    for (int i = 0; i < count; i++) {
        const double exact = exp2((double)x[i]);
        const double want = exact < 0x1p-126 ? 0.0 : exact >= 0x1p128 ? (double)INFINITY : exact;
        const bool is_right = got[i] == want || fabs(got[i] - want) <= 0x1p-22 * want;
        expect(is_right, "exp2_fast", i % lanes, i, got[i], want);
    }
}

static __global__ void bf16_kernel(const uint32_t *bits, uint32_t *rounded, int count)
{
    for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < count;
         i += (int)(gridDim.x * blockDim.x)) {
        const float x = __uint_as_float(bits[i]);
        const bf16 as_bf16 = to_act<bf16>(x);
        rounded[i] = bf16_bits(x);
        if (as_bf16.bits != rounded[i] || __float_as_uint(to_float(as_bf16)) != rounded[i] << 16 ||
            __float_as_uint(to_act<float>(x)) != bits[i])
            rounded[i] = UINT32_MAX;
    }
}

// The nearer of the two numbers around x, the one with an even last bit where both are as near. Beyond the
// largest number the next one is infinity, and as far away as if it were a number.
static uint32_t nearest_bf16(uint32_t bits)
{
    const uint32_t down = bits >> 16, rest = bits & 0xffffu;
    if (rest != 0x8000u) return rest > 0x8000u ? down + 1 : down;
    return down % 2 == 0 ? down : down + 1;
}

static void test_bf16()
{
    std::vector<uint32_t> bits;
    for (uint32_t upper = 0; upper < 65536; upper += 3)
        for (const uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
            bits.push_back(upper << 16 | lower);
    const int count = (int)bits.size();
    uint32_t *bits_dev = upload(bits), *rounded = upload(std::vector<uint32_t>(bits.size()));
    LAUNCH(bf16_kernel, 64, 256, 0, nullptr, bits_dev, rounded, count);
    download(bits_dev, 1);
    const std::vector<uint32_t> got = download(rounded, bits.size());
    for (int i = 0; i < count; i++) {
        if ((bits[i] & 0x7fffffffu) > 0x7f800000u)
            expect(isnan(float_of((uint16_t)got[i])), "bf16_bits of NaN", i % lanes, i, got[i], 0x7fff);
        else
            expect(got[i] == nearest_bf16(bits[i]), "bf16_bits", i % lanes, i, got[i], nearest_bf16(bits[i]));
    }
}

// ---- shuffles and votes: a warp with all lanes, and its halves apart

static constexpr int exchanges = 10;

static __global__ void exchange_kernel(int *out)
{
    const uint32_t all = 0xffffffffu;
    const int l = (int)threadIdx.x;
    int *mine = out + l * exchanges;
    mine[0] = __shfl_sync(all, l * l, 7);
    mine[1] = __shfl_sync(all, l * l, l + 3, 8);
    mine[2] = __shfl_up_sync(all, l * l, 2);
    mine[3] = __shfl_down_sync(all, l * l, 3, 16);
    mine[4] = __shfl_xor_sync(all, l * l, 5);
    mine[5] = (int)__shfl_xor_sync(all, (double)l * l, 16);
    mine[6] = (int)__ballot_sync(all, l % 3 == 0);
    mine[7] = __any_sync(all, l == 9) + 2 * __all_sync(all, l < 31);
    if (l < 16)
        mine[8] = __shfl_xor_sync(0xffffu, l, 1);
    else
        mine[8] = (int)__ballot_sync(0xffff0000u, l % 2);
    mine[9] = __popc((uint32_t)l) + 100 * __ffs(l);
    __syncwarp();
}

static int expected_exchange(int l, int which)
{
    const auto square = [](int lane) { return lane * lane; };
    int bits = 0;
    switch (which) {
    case 0: return 49;
    case 1: return square(l / 8 * 8 + (l + 3) % 8);
    case 2: return square(l < 2 ? l : l - 2);
    case 3: return square(l % 16 + 3 < 16 ? l + 3 : l);
    case 4: return square(l ^ 5);
    case 5: return square((l + 16) % 32);
    case 6:
        for (int i = 0; i < 11; i++) bits |= 1 << 3 * i % 32;
        return bits;
    case 7: return 1;
    case 8: return l >= 16 ? (int)0xaaaa0000u : l % 2 == 0 ? l + 1 : l - 1;
    default: break;
    }
    int first = 0;
    for (int i = 4; i >= 0; i--)
        if (l >> i & 1) bits++, first = i + 1;
    return bits + 100 * first;
}

static void test_exchanges()
{
    int *out = upload(std::vector<int>(lanes * exchanges));
    LAUNCH(exchange_kernel, 1, lanes, 0, nullptr, out);
    const std::vector<int> got = download(out, lanes * exchanges);
    for (int l = 0; l < lanes; l++)
        for (int i = 0; i < exchanges; i++)
            expect(got[l * exchanges + i] == expected_exchange(l, i), "shuffles and votes", l, i,
                   got[l * exchanges + i], expected_exchange(l, i));
}

// ---- threads, blocks, barriers: each block reverses its part, in more shared memory than is there unasked

static constexpr int threads_x = 16, threads_y = 8, part = threads_x * threads_y;

static __global__ void reverse_kernel(const float4 *in, float4 *out)
{
    DYNAMIC_SHARED(float4, stage);
    __shared__ unsigned first;
    const unsigned t = threadIdx.y * blockDim.x + threadIdx.x;
    if (t == 0) first = ((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x) * part;
    __syncthreads();
    stage[t * 25] = in[first + t];
    __syncthreads();
    out[first + t] = stage[(part - 1 - t) * 25];
}

static void test_grid()
{
    const dim3 grid(3, 2, 2), block(threads_x, threads_y);
    const int count = 12 * part;
    const size_t shared_bytes = part * 25 * sizeof(float4);
    std::vector<float4> values(count);
    for (int i = 0; i < count; i++) values[i] = make_float4((float)i, 1.0f, 2.0f, 3.0f);
    float4 *in = upload(values), *out = upload(values);
    expect_success(ALLOW_SHARED(reverse_kernel, shared_bytes), "ALLOW_SHARED");
    LAUNCH(reverse_kernel, grid, block, shared_bytes, nullptr, in, out);
    expect_success(cudaGetLastError(), "launch");
    download(in, 1);
    const std::vector<float4> got = download(out, count);
    for (int i = 0; i < count; i++) {
        const float want = (float)(i / part * part + part - 1 - i % part);
        expect(got[i].x == want && got[i].w == 3.0f, "blocks", i % lanes, i, got[i].x, want);
    }
}

int main()
{
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("skipped: no device\n");
        return skipped_exit_code;
    }
    srand(7);
    test_mma();
    test_ldmatrix();
    test_copies();
    test_exp2();
    test_bf16();
    test_exchanges();
    test_grid();
    printf("%d wrong\n", failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
