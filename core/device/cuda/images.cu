/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/images.cu - what is made of pixels: patches for the encoder, targets of the
 * reconstruction. A warp takes a patch; a lane takes runs of W pixels of the patch's rows, 3 W values in the
 * order (column, channel). */
#include "core/device/cuda/loss_sums.cuh"

/* A byte's value is byte scale + shift, each the sum of two floats: to the last bit or the one before. */
struct pixel_source {
    const uint8_t *u8; /* (B, size, size, 3); NULL: f32 */
    const float *f32;
    int64_t size;
    int patch;
    float scale[3], scale_rest[3], shift[3], shift_rest[3];
};

/* Bytes 0 to 3 of word, as floats. 2^23 + byte is a float by its bits: conversions would take longer. */
static __device__ __forceinline__ float byte_of(uint32_t word, int i)
{
    return __uint_as_float(0x4b000000u | (word >> 8 * i & 0xffu)) - 8388608.0f;
}

template <int W> static __device__ __forceinline__ void load_bytes(const uint8_t *at, float (&to)[3 * W])
{
    static_assert(W == 1 || W == 8, "8 bytes at a time");
    if constexpr (W == 1) {
#pragma unroll
        for (int i = 0; i < 3; i++) to[i] = byte_of(at[i], 0);
    } else {
#pragma unroll
        for (int i = 0; i < 3; i++) {
            const uint2 two = *reinterpret_cast<const uint2 *>(at + 8 * i);
#pragma unroll
            for (int k = 0; k < 8; k++) to[8 * i + k] = byte_of(k < 4 ? two.x : two.y, k % 4);
        }
    }
}

/* Three packs of W, one behind the other. */
template <int W, class T> static __device__ __forceinline__ void load_run(const T *at, float (&to)[3 * W])
{
#pragma unroll
    for (int i = 0; i < 3; i++) {
        float part[W];
        load<W>(at + i * W, part);
#pragma unroll
        for (int k = 0; k < W; k++) to[i * W + k] = part[k];
    }
}

/* Where patch l of an image begins. */
static __device__ __forceinline__ int64_t patch_at(const pixel_source &source, int64_t image, int l)
{
    const int across = (int)source.size / source.patch;
    const int64_t y = l / across * source.patch, x = l % across * source.patch;
    return ((image * source.size + y) * source.size + x) * 3;
}

/* Run i of the patch at first. */
template <int W>
static __device__ __forceinline__ void read_pixels(const pixel_source &source, int64_t first, int i,
                                                   float (&to)[3 * W])
{
    const int across = source.patch / W;
    const int64_t at = first + (i / across * source.size + i % across * W) * 3;
    if (!source.u8) {
        load_run<W>(source.f32 + at, to);
        return;
    }
    load_bytes<W>(source.u8 + at, to);
#pragma unroll
    for (int k = 0; k < 3 * W; k++) {
        const float rest = fmaf(to[k], source.scale_rest[k % 3], source.shift_rest[k % 3]);
        to[k] = fmaf(to[k], source.scale[k % 3], source.shift[k % 3]) + rest;
    }
}

/* out (N, 3, patch, patch); index (N) or NULL. */
template <class Act, int W>
static __global__ void __launch_bounds__(ROW_THREADS)
    patches_kernel(pixel_source source, int64_t N, int64_t K, const int32_t *index, Act *out)
{
    const int64_t n = first_row();
    if (n >= N) return;
    const int area = source.patch * source.patch;
    const int64_t first = patch_at(source, n / K, index ? index[n] : (int)(n % K));
    for (int i = (int)threadIdx.x % 32; i < area / W; i += 32) {
        float pixels[3 * W], plane[W];
        read_pixels<W>(source, first, i, pixels);
#pragma unroll
        for (int c = 0; c < 3; c++) {
#pragma unroll
            for (int k = 0; k < W; k++) plane[k] = pixels[3 * k + c];
            store<W>(out + (3 * n + c) * area + (int64_t)i * W, plane);
        }
    }
}

/* A target is ((pixel - mean) - mean_rest) scale. */
struct patch_statistics {
    float mean, mean_rest, scale;
};

/* Of norm_pix. What rounding has left in the differences from mean shows in their sum: so patches of one
 * colour, whose scale is 1000, have targets of 0. */
template <int W>
static __device__ __forceinline__ patch_statistics statistics_of(const pixel_source &source, int64_t first,
                                                                 int lane)
{
    const int runs = source.patch * source.patch / W;
    const float P = (float)(3 * W * runs);
    float sum = 0.0f, rest = 0.0f, squares = 0.0f, pixels[3 * W];
    for (int i = lane; i < runs; i += 32) {
        read_pixels<W>(source, first, i, pixels);
#pragma unroll
        for (int k = 0; k < 3 * W; k++) sum += pixels[k];
    }
    const float mean = warp_sum(sum) / P;
    for (int i = lane; i < runs; i += 32) {
        read_pixels<W>(source, first, i, pixels);
#pragma unroll
        for (int k = 0; k < 3 * W; k++) {
            const float off = pixels[k] - mean;
            rest += off;
            squares = fmaf(off, off, squares);
        }
    }
    rest = warp_sum(rest) / P;
    const float variance = fmaxf(fmaf(-P * rest, rest, warp_sum(squares)), 0.0f) / (P - 1.0f);
    return {mean, rest, 1.0f / sqrtf(variance + 1e-6f)};
}

/* Sum of the squares of pred (P) minus the target; dpred (P), where not NULL, is slope times that. */
template <class Act, int W>
static __device__ __forceinline__ double row_loss(const pixel_source &source, int64_t first,
                                                  const patch_statistics &target, int lane, float slope,
                                                  const Act *pred, Act *dpred)
{
    double error = 0.0;
    for (int i = lane; i < source.patch * source.patch / W; i += 32) {
        float pixels[3 * W];
        read_pixels<W>(source, first, i, pixels);
#pragma unroll
        for (int part = 0; part < 3; part++) {
            const int64_t at = (int64_t)i * 3 * W + part * W;
            float off[W];
            load<W>(pred + at, off);
#pragma unroll
            for (int k = 0; k < W; k++) {
                const float centred = (pixels[part * W + k] - target.mean) - target.mean_rest;
                off[k] = fmaf(-centred, target.scale, off[k]);
                error += (double)off[k] * (double)off[k];
                off[k] *= slope;
            }
            if (dpred) store<W>(dpred + at, off);
        }
    }
    return warp_sum(error);
}

template <int W, class Act> static __device__ __forceinline__ void zero_row(Act *row, int64_t P, int lane)
{
    const float zeros[W] = {};
    for (int64_t p = lane * W; p < P; p += 32 * W) store<W>(row + p, zeros);
}

/* parts (2, blocks). */
template <class Act, int W>
static __global__ void __launch_bounds__(ROW_THREADS, 3)
    patch_loss_kernel(pixel_source source, fsfm_patch_loss_args args, double *parts)
{
    __shared__ double shared[32];
    const int lane = (int)threadIdx.x % 32;
    const int64_t P = (int64_t)source.patch * source.patch * 3;
    double mask_sum = 0.0, region_sum = 0.0;
    for (int64_t row = first_row(); row < args.B * args.R; row += row_stride()) {
        const int64_t image = row / args.R;
        const int l = args.patch[row];
        const bool mask = l >= 0 && args.mask[image * args.L + l],
                   region = l >= 0 && args.region[image * args.L + l];
        const Act *pred = static_cast<const Act *>(args.pred) + row * P;
        Act *dpred = args.dpred ? static_cast<Act *>(args.dpred) + row * P : NULL;
        if (!mask && !region) {
            if (dpred) zero_row<W>(dpred, P, lane);
            continue;
        }
        const int64_t first = patch_at(source, image, l);
        const patch_statistics target =
            args.norm_pix ? statistics_of<W>(source, first, lane) : patch_statistics{0.0f, 0.0f, 1.0f};
        const float scale = dpred ? (mask ? args.scales[0] : 0.0f) + (region ? args.scales[1] : 0.0f) : 0.0f;
        const float slope = 2.0f * scale / (float)P;
        const double error = row_loss<Act, W>(source, first, target, lane, slope, pred, dpred) / (double)P;
        if (lane == 0 && mask) mask_sum += error;
        if (lane == 0 && region) region_sum += error;
    }
    mask_sum = block_sum(mask_sum, shared);
    region_sum = block_sum(region_sum, shared);
    if (threadIdx.x > 0) return;
    parts[blockIdx.x] = mask_sum;
    parts[gridDim.x + blockIdx.x] = region_sum;
}

static pixel_source source_of(const fsfm_images *images)
{
    pixel_source source = {};
    source.u8 = images->u8;
    source.f32 = images->f32;
    source.size = images->size;
    source.patch = (int)images->patch;
    for (int c = 0; c < 3 && images->u8; c++) {
        const double scale = 1.0 / (255.0 * (double)images->std[c]),
                     shift = -(double)images->mean[c] / (double)images->std[c];
        source.scale[c] = (float)scale;
        source.scale_rest[c] = (float)(scale - (double)source.scale[c]);
        source.shift[c] = (float)shift;
        source.shift_rest[c] = (float)(shift - (double)source.shift[c]);
    }
    return source;
}

enum { RUN = 8 };

/* Whether rows of patches can be taken by runs of RUN pixels. */
static bool are_runs(const fsfm_images *images)
{
    return is_packed<RUN>(images->patch, images->u8, images->f32);
}

template <class Act> static cudaError_t patches(const fsfm_cuda_queue *queue, const fsfm_patches_args &args)
{
    const int64_t N = args.B * args.K;
    Act *out = static_cast<Act *>(args.out);
    const unsigned blocks = (unsigned)blocks_for(N, ROWS_A_BLOCK);
    if (N == 0) return cudaSuccess;
    if (are_runs(&args.images) && is_packed<RUN>(RUN, out))
        LAUNCH((patches_kernel<Act, RUN>), blocks, ROW_THREADS, 0, queue->stream, source_of(&args.images), N,
               args.K, args.index, out);
    else
        LAUNCH((patches_kernel<Act, 1>), blocks, ROW_THREADS, 0, queue->stream, source_of(&args.images), N,
               args.K, args.index, out);
    return cudaGetLastError();
}

cudaError_t fsfm_cuda_patches(const fsfm_cuda_queue *queue, const fsfm_patches_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? patches<bf16>(queue, *args)
                                                   : patches<float>(queue, *args);
}

template <class Act>
static cudaError_t patch_loss(const fsfm_cuda_queue *queue, const fsfm_patch_loss_args &args)
{
    const unsigned blocks = loss_blocks(args.B * args.R);
    double *parts = static_cast<double *>(queue->scratch);
    if (blocks == 0) return cudaSuccess;
    if (are_runs(&args.images) &&
        is_packed<RUN>(RUN, static_cast<const Act *>(args.pred), static_cast<const Act *>(args.dpred)))
        LAUNCH((patch_loss_kernel<Act, RUN>), blocks, ROW_THREADS, 0, queue->stream, source_of(&args.images),
               args, parts);
    else
        LAUNCH((patch_loss_kernel<Act, 1>), blocks, ROW_THREADS, 0, queue->stream, source_of(&args.images),
               args, parts);
    LAUNCH(loss_sums_kernel, 2, ROW_THREADS, 0, queue->stream, (int64_t)blocks, parts, args.sums);
    return cudaGetLastError();
}

cudaError_t fsfm_cuda_patch_loss(const fsfm_cuda_queue *queue, const fsfm_patch_loss_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? patch_loss<bf16>(queue, *args)
                                                   : patch_loss<float>(queue, *args);
}
