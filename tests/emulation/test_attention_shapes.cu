// SPDX-License-Identifier: Apache-2.0
// tests/emulation/test_attention_shapes.cu - attention's kernels by themselves against double, at lengths
// around whole tiles and turns of warps, and at ones that come to shared memory in parts, which tests/device
// has none of in bf16. Prints a hash of all results: the same in every order of the emulated device. Compiled
// by nvcc it tests a GPU.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "core/device/cuda/kernels.h"

extern "C" {
#include "tests/support/reference_ops.h"
}

using numbers = std::vector<double>;

static const int skipped_exit_code = 77;
static int failures;
static uint64_t hash = 0xcbf29ce484222325u; // FNV-1a

static void expect_success(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return;
    printf("%s: %s\n", what, cudaGetErrorString(error));
    exit(EXIT_FAILURE);
}

// Numbers in a precision, in memory of the device.
struct array {
    bool is_bf16;
    numbers values; // what the host gave
    char *dev = nullptr;

    array(fsfm_precision precision, numbers given)
        : is_bf16(precision == FSFM_PRECISION_BF16), values(std::move(given))
    {
        std::vector<char> bytes(values.size() * width());
        for (size_t i = 0; i < values.size(); i++) {
            const float value = (float)values[i];
            memcpy(&bytes[i * width()], reinterpret_cast<const char *>(&value) + 4 - width(), width());
        }
        expect_success(cudaMalloc(reinterpret_cast<void **>(&dev), bytes.size()), "cudaMalloc");
        expect_success(cudaMemcpy(dev, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "upload");
    }
    array(const array &) = delete;
    ~array()
    {
        cudaFree(dev);
    }
    size_t width() const
    {
        return is_bf16 ? 2 : 4;
    }
    char *at(int64_t i) const
    {
        return dev + i * (int64_t)width();
    }
    numbers download() const
    {
        std::vector<char> bytes(values.size() * width());
        expect_success(cudaMemcpy(bytes.data(), dev, bytes.size(), cudaMemcpyDeviceToHost), "download");
        numbers got(values.size());
        for (size_t i = 0; i < got.size(); i++) {
            float value = 0.0f;
            memcpy(reinterpret_cast<char *>(&value) + 4 - width(), &bytes[i * width()], width());
            got[i] = value;
        }
        for (const char byte : bytes) hash = (hash ^ (unsigned char)byte) * 0x100000001b3u;
        return got;
    }
};

// Multiples of 2^-6 up to 1: exact in bf16.
static numbers random_numbers(int64_t count)
{
    static uint64_t state = 1;
    numbers x((size_t)count);
    for (double &value : x) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value = (double)((state >> 33) % 129) / 64.0 - 1.0;
    }
    return x;
}

// What an array holds, and the squares of the terms that are rounded to bf16 on the way to it.
struct expected {
    numbers values, squares;

    explicit expected(size_t count) : values(count), squares(count)
    {
    }
};

static double sum_of_squares(const numbers &x)
{
    double sum = 0.0;
    for (const double value : x) sum += value * value;
    return sum;
}

// Errors in the 2-norm. fp32: 1e-5 of the size; with one key, where some are 0 but for roundings, of numbers
// of size 1. bf16: twice what roundings of the terms and of the result come to at random, 0.42 2^-8 of each.
static void check(const char *name, const ref_heads &h, bool is_bf16, const array &got, const expected &want)
{
    numbers errors = got.download();
    for (size_t i = 0; i < errors.size(); i++) errors[i] -= want.values[i];
    double size = sum_of_squares(want.values);
    if (is_bf16)
        for (const double square : want.squares) size += square;
    else if (h.T == 1)
        size = (double)errors.size();
    const double error = sqrt(sum_of_squares(errors)),
                 tolerance = (is_bf16 ? 2.0 * 0.42 / 256.0 : 1e-5) * sqrt(size);
    if (error <= tolerance) return;
    failures++;
    printf("%s at Tq %d, T %d, D %d is off by %.3g, expected below %.3g\n", name, (int)h.Tq, (int)h.T,
           (int)h.D, error, tolerance);
}

// q (B, Tq, H, D); k and v as (B, T, 2, H, D).
static void run(const fsfm_cuda_queue &queue, const ref_heads &h)
{
    const int64_t C = h.H * h.D, queries = h.B * h.Tq * C, keys = h.B * h.T * 2 * C;
    const fsfm_precision precision = queue.precision;
    const array q(precision, random_numbers(queries)), kv(precision, random_numbers(keys)),
        dout(precision, random_numbers(queries)), out(precision, numbers(queries, NAN)),
        dq(precision, numbers(queries, NAN)), dkv(precision, numbers(keys, NAN)),
        log_sum(FSFM_PRECISION_FP32, numbers(h.B * h.H * h.Tq, NAN));
    const fsfm_attention_args forward = {
        h.B,    h.Tq,     h.T,        h.H,         h.D,     (float)h.last_multiplicity, q.dev,
        kv.dev, kv.at(C), h.q_stride, h.kv_stride, out.dev, (float *)log_sum.dev};
    const fsfm_attention_backward_args backward = {
        h.B,      h.Tq,       h.T,         h.H,     h.D,      (float)h.last_multiplicity, q.dev,  kv.dev,
        kv.at(C), h.q_stride, h.kv_stride, out.dev, dout.dev, (const float *)log_sum.dev, dq.dev, dkv.dev,
        dkv.at(C)};
    expect_success(fsfm_cuda_attention(&queue, &forward), "attention");
    expect_success(fsfm_cuda_attention_backward(&queue, &backward), "attention_backward");
    expect_success(cudaStreamSynchronize(queue.stream), "synchronize");

    numbers x = q.values, y = kv.values;
    expected out_want(out.values.size()), log_sum_want(log_sum.values.size()), dq_want(q.values.size()),
        dkv_want(kv.values.size());
    double *dk = dkv_want.values.data(), *dk_squares = dkv_want.squares.data();
    const ref_qkv given = {x.data(), y.data(), y.data() + C}, gradient = {dq_want.values.data(), dk, dk + C},
                  squares = {dq_want.squares.data(), dk_squares, dk_squares + C};
    ref_attention(&h, &given, out_want.values.data(), log_sum_want.values.data(), out_want.squares.data());
    ref_attention_backward(&h, &given, dout.values.data(), &gradient, &squares);
    const bool is_bf16 = precision == FSFM_PRECISION_BF16;
    check("out", h, is_bf16, out, out_want);
    check("log_sum", h, false, log_sum, log_sum_want);
    check("dq", h, is_bf16, dq, dq_want);
    check("dk, dv", h, is_bf16, dkv, dkv_want);
}

static void run_all(const fsfm_cuda_queue &queue)
{
    static const int64_t widths[] = {6, 8, 12, 16, 24, 32, 48, 64, 80};
    static const int64_t lengths[][2] = {{1, 1},   {5, 5},   {16, 17}, {17, 16},  {50, 50}, {51, 51}, // Tq, T
                                         {65, 65}, {66, 66}, {64, 96}, {113, 33}, {30, 129}};
    for (const int64_t D : widths)
        for (const auto &length : lengths)
            run(queue, {2, length[0], length[1], 2, D, D % 16 == 0 ? 1.0 : 20.0, 2 * D, 4 * D});
    static const int64_t long_cases[][3] = {{197, 197, 64}, {257, 257, 80}, {450, 450, 80}, // Tq, T, D
                                            {40, 600, 64},  {600, 40, 48},  {1, 1300, 24}};
    for (const auto &c : long_cases) run(queue, {1, c[0], c[1], 1, c[2], 3.0, c[2], 2 * c[2]});
}

int main()
{
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) return skipped_exit_code;
    fsfm_cuda_queue queue = {};
    expect_success(cudaStreamCreate(&queue.stream), "cudaStreamCreate");
    for (const fsfm_precision precision : {FSFM_PRECISION_FP32, FSFM_PRECISION_BF16}) {
        queue.precision = precision;
        run_all(queue);
    }
    printf("hash %016llx, %d failures\n", (unsigned long long)hash, failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
