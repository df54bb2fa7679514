/* SPDX-License-Identifier: Apache-2.0
 * core/device/device.h - the table of operations that a step is made of. cpu/ and cuda/ each fill one.
 *
 * The table is written for a GPU's sake: every operation is enqueued in order on one queue, takes device
 * memory and returns nothing to the host; an error may surface later, at synchronize. Operations allocate
 * nothing. All arrays are dense and row-major. Axes: B images, T tokens (class token first), K kept patches,
 * L patches, C channels, H heads, D = C / H, P values per patch (patch * patch * 3), N rows.
 *
 * fsfm_act is a number in the device's compute precision (float, or bfloat16): activations, the matrices that
 * they are multiplied with, Adam's second moments. `float` is always float: vectors of parameters, gradients,
 * statistics, and the residual stream, which would gather the rounding of every block. "Sets" means that the
 * old contents do not matter; "adds" that they stay in.
 *
 * A matrix of weights takes 4 bytes an element on every device. In fp32 it is an array of floats; in bf16 it
 * is the array of its elements rounded to bfloat16, which products read, followed by what was rounded off (16
 * bits an element): together the float, exactly. set_matrix and get_matrix convert; adamw knows both forms.
 *
 * Results never depend on the number of threads: work is cut into pieces by shape alone, and every sum has
 * one order. */
#ifndef FSFM_CORE_DEVICE_DEVICE_H
#define FSFM_CORE_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/status.h"
#include "core/device/operations.h"
#include "core/device/recorder.h"
#include "core/device/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef void fsfm_act;
typedef struct fsfm_device fsfm_device;

typedef enum { FSFM_DEVICE_AUTO, FSFM_DEVICE_CPU, FSFM_DEVICE_CUDA } fsfm_device_kind;
typedef enum { FSFM_PRECISION_FP32, FSFM_PRECISION_BF16 } fsfm_precision;

/* out (N, Cout) = x (N, Cin) weight^T + bias, + residual where given; weight (Cout, Cin), rows of a matrix;
 * bias (Cout) or NULL, residual (N, Cout) or NULL, may be out. out and residual are fsfm_act, or floats if
 * out_is_float (the residual stream). active (N, Cout), where not NULL, = GELU(out), the exact one: x Phi(x),
 * of out before it is rounded (a GPU may round it first); may be out, which is then not kept; not with a
 * residual or out_is_float. The bits of a row do not depend on its place among the N, nor on the others; a
 * GPU's may depend on N. Where out is bfloat16 a GPU may round bias to it first, as its libraries' products
 * want it. */
typedef struct {
    int64_t N, Cin, Cout;
    const fsfm_act *x, *weight;
    const float *bias;
    bool out_is_float;
    const void *residual;
    void *out;
    fsfm_act *active;
} fsfm_linear_args;

/* dx (N, Cin) = dout weight: set, or added if dx_adds; dx NULL: not wanted. dweight += dout^T x, dbias += sum
 * of dout over rows; each NULL: not wanted (x is then not read).
 * hidden (N, Cin), where not NULL: x was GELU(hidden), and dx is the gradient of hidden (dx is wanted and
 * set). active (N, Cin), where not NULL, is set to GELU(hidden) and taken for x. */
typedef struct {
    int64_t N, Cin, Cout;
    const fsfm_act *x, *weight, *dout;
    fsfm_act *dx;
    bool dx_adds;
    float *dweight, *dbias;
    const fsfm_act *hidden;
    fsfm_act *active;
} fsfm_linear_backward_args;

/* out = (x - mean) rstd weight + bias over the last axis of (N, C), then max(0, .) if relu. mean, rstd (N)
 * are kept for backward; both NULL: not kept. is_known: mean and rstd hold what an earlier call kept. out
 * must not be x. x is fsfm_act, or floats if x_is_float. */
typedef struct {
    int64_t N, C;
    float eps;
    bool relu, is_known, x_is_float;
    const void *x;
    const float *weight, *bias;
    fsfm_act *out;
    float *mean, *rstd;
} fsfm_layernorm_args;

/* dx (N, C) set or added; dweight, dbias (C) added. relu: out is forward's result (masks dout); else out may
 * be NULL. dx may be dout where it is set. */
typedef struct {
    int64_t N, C;
    bool relu, x_is_float;
    const void *x;
    const fsfm_act *out, *dout;
    const float *weight, *mean, *rstd;
    fsfm_act *dx;
    bool dx_adds;
    float *dweight, *dbias;
} fsfm_layernorm_backward_args;

/* Multi-head attention, scale D^-0.5, of Tq queries over T keys and values of the same image. Rows of H D
 * values: of q every q_stride, of k and v every kv_stride (self-attention on (B, T, 3, H, D): k = q + H D, v
 * = q + 2 H D, all strides 3 H D). out (B, Tq, H, D). The last key stands for last_multiplicity (>= 1) equal
 * ones: its weight in the softmax counts that often. log_sum (B, H, Tq): logarithm of the softmax
 * denominators, for backward; NULL: not kept. */
typedef struct {
    int64_t B, Tq, T, H, D;
    float last_multiplicity;
    const fsfm_act *q, *k, *v;
    int64_t q_stride, kv_stride;
    fsfm_act *out;
    float *log_sum;
} fsfm_attention_args;

/* dq, dk, dv set, with the strides of q, k, v. out and log_sum are forward's. The last token's rows of dout
 * hold, and its gradients get, the sum over its copies. */
typedef struct {
    int64_t B, Tq, T, H, D;
    float last_multiplicity;
    const fsfm_act *q, *k, *v;
    int64_t q_stride, kv_stride;
    const fsfm_act *out, *dout;
    const float *log_sum;
    fsfm_act *dq, *dk, *dv;
} fsfm_attention_backward_args;

/* Images as they are uploaded: uint8 (B, size, size, 3) with mean and std of the channels in units of [0, 1];
 * a pixel is (u8 / 255 - mean) / std. Or floats that are normalised already. Exactly one of u8 and f32 is not
 * NULL. */
typedef struct {
    int64_t size, patch; /* pixels; size is a multiple of patch */
    const uint8_t *u8;   /* (B, size, size, 3) */
    const float *f32;    /* (B, size, size, 3) */
    float mean[3], std[3];
} fsfm_images;

/* out (B, K, P): the patches index (B, K) of each image, in the order (channel, row, column) of patch_embed's
 * weight; index NULL: all, K = L. */
typedef struct {
    int64_t B, K;
    fsfm_images images;
    const int32_t *index;
    fsfm_act *out;
} fsfm_patches_args;

/* out (B, 1 + K, C): row 0 is class_token (C); row 1 + k is patches (B, K, C) at k plus position (L, C) at
 * index (B, K) (NULL: at k). */
typedef struct {
    int64_t B, K, C;
    const fsfm_act *patches;
    const float *class_token, *position;
    const int32_t *index;
    float *out;
} fsfm_embed_args;

/* dpatches (B, K, C) set, dclass (C) added, from dout (B, 1 + K, C). */
typedef struct {
    int64_t B, K, C;
    const fsfm_act *dout;
    fsfm_act *dpatches;
    float *dclass;
} fsfm_embed_backward_args;

/* Tokens back in image order: out (B, 1 + L, C); row 0 = x's row 0; row 1 + l = x's row 1 + slot (B, L) at l,
 * or fill where slot is -1: the same (C) everywhere, or row l of (L, C) if fill_by_place; plus position (L,
 * C) on rows 1.. where not NULL. x (B, 1 + K, C). slot NULL: the one-token form, L = K + 1: x's rows in their
 * order, then fill once. x, fill and out are fsfm_act, or floats if is_float. */
typedef struct {
    int64_t B, K, L, C;
    const void *x, *fill;
    bool fill_by_place, is_float;
    const float *position;
    const int32_t *slot;
    void *out;
} fsfm_unshuffle_args;

/* dx (B, 1 + K, C) set or added; dfill, (C) or (L, C), added (NULL: not wanted). */
typedef struct {
    int64_t B, K, L, C;
    const fsfm_act *dout;
    const int32_t *slot;
    fsfm_act *dx;
    bool dx_adds;
    float *dfill;
    bool fill_by_place;
} fsfm_unshuffle_backward_args;

/* out (B, R, C): row r of an image is row index (B, R) at r, 0 .. T - 1, of x (B, T, C). Both are
 * fsfm_act, or floats if is_float. */
typedef struct {
    int64_t B, T, R, C;
    bool is_float;
    const void *x;
    const int32_t *index;
    void *out;
} fsfm_pick_args;

/* y (B, T, C) at row index (B, R) += x (B, R, C): pick's gradient. The rows of an image are distinct. */
typedef struct {
    int64_t B, T, R, C;
    const fsfm_act *x;
    const int32_t *index;
    fsfm_act *y;
} fsfm_pick_backward_args;

/* out (B, C) = mean over the tokens of x (B, T, C), the last token counting last_multiplicity times. */
typedef struct {
    int64_t B, T, C;
    float last_multiplicity;
    const fsfm_act *x;
    fsfm_act *out;
} fsfm_mean_args;

/* dx (B, T, C) set, or added if dx_adds. */
typedef struct {
    int64_t B, T, C;
    float last_multiplicity;
    const fsfm_act *dout;
    fsfm_act *dx;
    bool dx_adds;
} fsfm_mean_backward_args;

/* out (N, C) = x / max(|x|, 1e-12) by rows; norm (N) gets the denominators. Floats, as losses are. */
typedef struct {
    int64_t N, C;
    const fsfm_act *x;
    float *out, *norm;
} fsfm_normalize_args;

/* dx (N, C) set, from out, norm and dout. */
typedef struct {
    int64_t N, C;
    const float *out, *norm, *dout;
    fsfm_act *dx;
} fsfm_normalize_backward_args;

/* sum += sum over rows of offset + slope q.k; dq = dslope k, set (NULL: not wanted). q, k (N, C)
 * l2-normalised. cosine: offset 0, slope -0.5; byol: offset 2, slope -2. */
typedef struct {
    int64_t N, C;
    const float *q, *k;
    double offset, slope;
    float dslope;
    double *sum;
    float *dq;
} fsfm_dot_loss_args;

/* InfoNCE. sum += sum_i -log softmax_j(q_i.k_j / temperature) at j = *first + i; q (N, C), keys (M, C) of the
 * whole global batch; logits (N, M) is scratch; dq (N, C) set: gradient times dscale (NULL: not wanted). */
typedef struct {
    int64_t N, M, C;
    const int64_t *first; /* on the device */
    const float *q, *keys;
    float temperature, dscale;
    float *logits;
    double *sum;
    float *dq;
} fsfm_infonce_args;

/* Reconstruction. pred (B, R, P), P in the order (row, column, channel); patch (B, R): the patch that a row
 * predicts, or -1: a row not looked at. Target of a patch: its pixels, if norm_pix minus their mean over
 * sqrt(variance with P - 1, + 1e-6). With e = mean squared error of a patch: sums[0] += sum of mask e,
 * sums[1] += sum of region e (mask, region (B, L), 0/1). dpred (B, R, P) set: gradient of scales[0] sum(mask
 * e)
 * + scales[1] sum(region e), 0 in rows that no sum looks at; NULL: not wanted, scales are then not read. */
typedef struct {
    int64_t B, L, R;
    fsfm_images images;
    bool norm_pix;
    const fsfm_act *pred;
    const int32_t *patch;
    const uint8_t *mask, *region;
    const float *scales; /* (2), on the device */
    double *sums;
    fsfm_act *dpred;
} fsfm_patch_loss_args;

/* A piece of a trained tensor: its elements [first, first + FSFM_ADAMW_PIECE), or those that there are. */
enum { FSFM_ADAMW_PIECE = 16384 };
typedef struct {
    int64_t tensor;       /* where the tensor begins, in elements of every array */
    int64_t count, first; /* of the tensor; a multiple of FSFM_ADAMW_PIECE */
    bool is_matrix, is_decayed, has_target;
} fsfm_adamw_piece;

/* What of AdamW differs from update to update; adamw.h makes it. */
typedef struct {
    int64_t t;
    float scale, keep1, beta2, keep2, eps, step, root2, shrink, towards;
} fsfm_adamw_numbers;

/* Update t of AdamW (Loshchilov and Hutter, 2019) on tensors of a model, whole matrices or floats, which are
 * cut into pieces; the arrays are those of all tensors. g = scale grads; m += keep1 (g - m); v = beta2 v +
 * keep2 g^2; p = p - step m / (root2 sqrt(v) + eps), of a decayed tensor shrink p - ... . In bf16 v is
 * rounded up or down at random in proportion (by a hash of t and of the parameter's place in the arrays), so
 * that small changes are not lost; m, which passes through zero, stays a float. Where a piece has a target,
 * which is of params' form: target += towards (p - target), with the new p. */
typedef struct {
    int64_t count;
    const fsfm_adamw_piece *pieces;    /* (count), on the device */
    const fsfm_adamw_numbers *numbers; /* on the device */
    void *params, *target;             /* target NULL: no piece has one */
    const float *grads;
    float *m;
    fsfm_act *v;
    int64_t elements, with_target; /* of all pieces; of those that have a target */
} fsfm_adamw_args;

#define FSFM_READ_BYTES ((size_t)32 << 10)

typedef struct { /* every entry is mandatory */
    fsfm_status (*alloc)(fsfm_device *dev, size_t size_bytes, void **ptr_dev, fsfm_error *err);
    void (*free)(fsfm_device *dev, void *ptr_dev); /* accepts NULL */
    /* src_host is free on return. */
    fsfm_status (*upload)(fsfm_device *dev, void *dst_dev, const void *src_host, size_t size_bytes,
                          fsfm_error *err);
    /* Waits for everything before it; the data is there on return. */
    fsfm_status (*download)(fsfm_device *dev, void *dst_host, const void *src_dev, size_t size_bytes,
                            fsfm_error *err);
    /* A small download in two parts, one at a time: what src_dev holds at this place of the queue, at most
     * FSFM_READ_BYTES; and the wait for it, which does not wait for what was enqueued since. */
    fsfm_status (*start_read)(fsfm_device *dev, const void *src_dev, size_t size_bytes, fsfm_error *err);
    fsfm_status (*finish_read)(fsfm_device *dev, void *dst_host, size_t size_bytes, fsfm_error *err);
    fsfm_status (*copy)(fsfm_device *dev, void *dst_dev, const void *src_dev, size_t size_bytes,
                        fsfm_error *err);
    fsfm_status (*zero)(fsfm_device *dev, void *dst_dev, size_t size_bytes, fsfm_error *err);
    fsfm_status (*synchronize)(fsfm_device *dev, fsfm_error *err); /* where late kernel errors surface */
    /* A matrix of weights to and from floats in host memory. get waits. */
    fsfm_status (*set_matrix)(fsfm_device *dev, int64_t count, void *matrix_dev, const float *values_host,
                              fsfm_error *err);
    fsfm_status (*get_matrix)(fsfm_device *dev, int64_t count, const void *matrix_dev, float *values_host,
                              fsfm_error *err);

#define FSFM_ENTRY(op) fsfm_status (*op)(fsfm_device * dev, const fsfm_##op##_args *args, fsfm_error *err);
#define FSFM_VECTOR_ENTRY(op, x_type, y_type) \
    fsfm_status (*op)(fsfm_device * dev, int64_t count, const x_type *x, y_type *y, fsfm_error *err);
    FSFM_OPERATIONS(FSFM_ENTRY)
    FSFM_VECTOR_OPERATIONS(FSFM_VECTOR_ENTRY)
#undef FSFM_VECTOR_ENTRY
#undef FSFM_ENTRY
} fsfm_device_ops;

/* What every backend's device begins with. */
struct fsfm_device {
    const fsfm_device_ops *ops;
    const struct fsfm_device_plugin *plugin; /* that opened it; NULL: the CPU's, which is always there */
    fsfm_device_kind kind;
    fsfm_precision precision; /* what it computes in, which may not be what was asked for */
    size_t act_bytes;         /* of one fsfm_act element */
    bool memory_is_host;      /* the host may read and write device memory in place, after synchronize */
    uint64_t memory_bytes;    /* of its own; 0 where it is the host's */
    fsfm_wire *wire;          /* the device's; NULL where memory is the host's */
    /* The same queue and threads, computing in fp32: its fsfm_act are floats, also those of matrices. For
     * what is small and feels rounding most. It moves no memory: alloc to get_matrix are not for it. In fp32:
     * the device itself. */
    fsfm_device *whole;
    fsfm_recorder *recorder; /* the device's; NULL: enqueueing costs no more than replaying would */
    int threads;
    /* More rows in a product than this make it hardly faster, on two threads; 0: more is always better. Not
     * to depend on the number of threads: the pixel decoder's groups follow from it, and bits from those. */
    int64_t useful_rows;
    char name[96];  /* "cpu (avx512, 2 threads)": printed, and part of a run's environment */
    char isa[32];   /* instruction set that decides the bits; equal on all ranks of an exact run */
    char place[40]; /* of a GPU: the number that no other has; else "" */
    /* Products so far, whole's among them, that a plain, slow kernel computes, as no fast one takes them:
     * "MxNxK, ...", or "MxNxK bias gradient" where only that is, and how many more there are; else "" */
    char slow_products[128];
};

typedef struct {
    fsfm_device_kind kind; /* AUTO: a GPU where there is one that can be used, else the CPU */
    fsfm_precision precision;
    int threads; /* of the CPU backend */
    int index;   /* which of the GPUs that this process sees and can use, modulo their number: its rank on the
                    machine */
} fsfm_device_options;

/* Opens a device, for the thread that calls. note gets one line to tell the user when something asked for is
 * not there and another thing is used, else "". The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_device_open(const fsfm_device_options *options, fsfm_device **out, char note[160],
                             fsfm_error *err);
/* The file that the device's code was loaded from: the plugin; or the program, for the CPU's. */
const char *fsfm_device_file(const fsfm_device *dev);
void fsfm_device_close(fsfm_device **dev); /* accepts NULL; sets *dev to NULL */

/* One product c (M, N) = a (M, K) b (K, N); transposed: stored as (K, M), (N, K). */
typedef struct {
    int64_t M, N, K;
    bool a_transposed, b_transposed;
} fsfm_product_shape;

/* What the machine gives at best, in the device's precision and on all of its threads. */
typedef struct {
    double gemm_gflops; /* best rate over shapes of the library's plain products, each as a whole */
    double memory_gb_s; /* of adding one large array to another: two reads and a write an element */
} fsfm_device_peaks;
/* Takes seconds; no other work may run on dev meanwhile. dev is one that fsfm_device_open() gave. */
FSFM_MUST_USE
fsfm_status fsfm_device_measure_peaks(fsfm_device *dev, const fsfm_product_shape *shapes, int count,
                                      fsfm_device_peaks *out, fsfm_error *err);

/* count elements behind at; as constant as at is. */
fsfm_act *fsfm_act_after(const fsfm_device *dev, const fsfm_act *at, int64_t count);
/* An arena's next count activations in the device's precision. */
fsfm_act *fsfm_arena_acts(fsfm_arena *arena, const fsfm_device *dev, int64_t count);
/* Allocates what a measuring arena counted, filled with NaN in debug builds; the real arena begins at 0
 * again. */
FSFM_MUST_USE
fsfm_status fsfm_arena_allocate(fsfm_arena *arena, fsfm_device *dev, fsfm_error *err);
void fsfm_arena_release(fsfm_arena *arena, fsfm_device *dev);

#ifdef __cplusplus
}
#endif
#endif
