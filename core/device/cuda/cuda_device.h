/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/cuda_device.h - the CUDA backend's own state, and its C files' functions.
 *
 * All operations go to one stream in their order. Uploads cross to the device on a second one, while the
 * first computes: see memory.c. A device is used by the thread that opened it. */
#ifndef FSFM_CORE_DEVICE_CUDA_CUDA_DEVICE_H
#define FSFM_CORE_DEVICE_CUDA_CUDA_DEVICE_H

#include <cublasLt.h>

#include "core/device/cuda/kernels.h"
#include "core/device/cuda/nccl.h"
#include "core/device/plugin.h"

#define FSFM_CUDA_SHARED_BYTES ((size_t)163 << 10)   /* a block's, that kernels may use */
#define FSFM_CUDA_WORKSPACE_BYTES ((size_t)32 << 20) /* of cublasLt */
enum { FSFM_CUDA_PRODUCT_ALIGNMENT = 16 }; /* of pointers and rows, for cublasLt's fast algorithms */
/* Uploads wait in a ring of segments, each as large as this; one is used again when the device is done with
 * it. All of them hold a micro-batch of 256 images of 224 pixels as bytes. */
#define FSFM_CUDA_SEGMENT_BYTES ((size_t)4 << 20)
enum { FSFM_CUDA_SEGMENTS = 16, FSFM_CUDA_LANDINGS = 2 };

typedef struct {
    cudaStream_t stream;
    cudaEvent_t crossed;                                      /* the last piece is on the device */
    cudaEvent_t free[FSFM_CUDA_SEGMENTS];                     /* everything that read a segment is done */
    char *host[FSFM_CUDA_SEGMENTS], *dev[FSFM_CUDA_SEGMENTS]; /* NULL: not used yet */
    int segment;                                              /* that is being filled */
    size_t used_bytes;                                        /* of it */
} fsfm_cuda_uploads;

typedef struct {
    cudaEvent_t landed[FSFM_CUDA_LANDINGS];
    char *host[FSFM_CUDA_LANDINGS]; /* of a segment's size; NULL: not used yet */
} fsfm_cuda_downloads;

/* Between start_read and finish_read. */
typedef struct {
    cudaEvent_t landed;
    char *host; /* (FSFM_READ_BYTES) */
} fsfm_cuda_read;

struct fsfm_cuda_plan;
typedef struct fsfm_cuda_padding fsfm_cuda_padding;

/* Products by cublasLt, each with what was found out at the first use of its shape. */
enum { FSFM_CUDA_PLAN_LISTS = 256 };
typedef struct {
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t preference;
    void *workspace;
    struct fsfm_cuda_plan *plans[FSFM_CUDA_PLAN_LISTS]; /* by hash of their shape */
    fsfm_cuda_padding *padding;                         /* owned; the largest first */
    int slow_shapes;                                    /* that the kernel has to take */
    size_t slow_length;                                 /* of those that are named in base.slow_products */
} fsfm_cuda_products;

typedef struct fsfm_cuda_device fsfm_cuda_device;

typedef struct {
    fsfm_wire base;
    fsfm_cuda_device *cuda;
    cudaStream_t stream;
    cudaEvent_t reached,
        received;          /* the device's stream where the wire follows it, and the other way round */
    cudaEvent_t *sent;     /* (events) */
    int64_t events, sends; /* sends: since the last join */
    fsfm_cuda_nccl nccl;
} fsfm_cuda_wire;

typedef struct {
    fsfm_recorder base;
    fsfm_cuda_device *cuda;
} fsfm_cuda_recorder;

struct fsfm_cuda_device {
    fsfm_device base;
    fsfm_cuda_device *opened; /* the device itself; of whole, the one that it is a part of */
    fsfm_cuda_queue queue;
    fsfm_cuda_products products;
    fsfm_cuda_uploads uploads;
    fsfm_cuda_downloads downloads;
    fsfm_cuda_read read;
    fsfm_cuda_wire wire;
    fsfm_cuda_recorder recorder;
    int64_t cache_bytes; /* of the GPU's last cache */
};

static inline fsfm_cuda_device *fsfm_cuda(fsfm_device *dev)
{
    return (fsfm_cuda_device *)dev;
}

/* code as a status: "cuda:0: WHAT: CUDA's text (CUDA's name)". */
FSFM_MUST_USE
fsfm_status fsfm_cuda_check(const fsfm_cuda_device *cuda, cudaError_t code, const char *what,
                            fsfm_error *err);

/* memory.c */
FSFM_MUST_USE
fsfm_status fsfm_cuda_memory_open(fsfm_cuda_device *cuda, fsfm_error *err);
void fsfm_cuda_memory_close(fsfm_cuda_device *cuda); /* also after a failed open */
fsfm_status fsfm_cuda_alloc(fsfm_device *dev, size_t size_bytes, void **ptr_dev, fsfm_error *err);
void fsfm_cuda_free(fsfm_device *dev, void *ptr_dev);
fsfm_status fsfm_cuda_upload(fsfm_device *dev, void *dst_dev, const void *src_host, size_t size_bytes,
                             fsfm_error *err);
fsfm_status fsfm_cuda_download(fsfm_device *dev, void *dst_host, const void *src_dev, size_t size_bytes,
                               fsfm_error *err);
fsfm_status fsfm_cuda_start_read(fsfm_device *dev, const void *src_dev, size_t size_bytes, fsfm_error *err);
fsfm_status fsfm_cuda_finish_read(fsfm_device *dev, void *dst_host, size_t size_bytes, fsfm_error *err);
fsfm_status fsfm_cuda_copy(fsfm_device *dev, void *dst_dev, const void *src_dev, size_t size_bytes,
                           fsfm_error *err);
fsfm_status fsfm_cuda_zero(fsfm_device *dev, void *dst_dev, size_t size_bytes, fsfm_error *err);
fsfm_status fsfm_cuda_synchronize(fsfm_device *dev, fsfm_error *err);
fsfm_status fsfm_cuda_set_matrix(fsfm_device *dev, int64_t count, void *matrix_dev, const float *values_host,
                                 fsfm_error *err);
fsfm_status fsfm_cuda_get_matrix(fsfm_device *dev, int64_t count, const void *matrix_dev, float *values_host,
                                 fsfm_error *err);

/* wire.c */
FSFM_MUST_USE
fsfm_status fsfm_cuda_wire_open(fsfm_cuda_device *cuda, fsfm_error *err);
void fsfm_cuda_wire_close(fsfm_cuda_device *cuda); /* also after a failed open */

/* recorder.c */
void fsfm_cuda_recorder_open(fsfm_cuda_device *cuda);

/* library_product.c */
FSFM_MUST_USE
fsfm_status fsfm_cuda_products_open(fsfm_cuda_device *cuda, fsfm_error *err);
void fsfm_cuda_products_close(fsfm_cuda_device *cuda); /* also after a failed open */
/* whole's products by the same library, with plans and memory for copies of its own, which are what forget
 * releases of a device. */
void fsfm_cuda_products_share(const fsfm_cuda_device *cuda, fsfm_cuda_device *whole);
void fsfm_cuda_products_forget(fsfm_cuda_device *cuda);
/* fsfm_cuda_product() by cublasLt where it takes the shape and the pointers, else by the kernel. Where c is
 * bfloat16 cublasLt wants bias in it too: it is rounded into scratch.
 *
 * a_sums (M), or NULL, += the sums of a's rows: a is transposed, so these are columns of what is stored, and
 * c is float. */
FSFM_MUST_USE
fsfm_status fsfm_cuda_library_product(fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                                      fsfm_error *err);

/* The same, with a kernel of its own for a_sums, which reads a once more. */
FSFM_MUST_USE
fsfm_status fsfm_cuda_product_then_sums(fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                                        fsfm_error *err);

/* padded_product.c: fsfm_cuda_library_product() of matrices with widths that cublasLt does not take, by way
 * of wider copies. Memory for them is made at the first use of a shape. */
bool fsfm_cuda_wants_padding(const fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args);
FSFM_MUST_USE
fsfm_status fsfm_cuda_padded_product(fsfm_cuda_device *cuda, const fsfm_cuda_product_args *args,
                                     fsfm_error *err);
void fsfm_cuda_padding_free(fsfm_cuda_device *cuda);

/* linear.c */
fsfm_status fsfm_cuda_linear(fsfm_device *dev, const fsfm_linear_args *args, fsfm_error *err);
fsfm_status fsfm_cuda_linear_backward(fsfm_device *dev, const fsfm_linear_backward_args *args,
                                      fsfm_error *err);

/* peak.c */
fsfm_status fsfm_cuda_measure_peaks(fsfm_device *dev, const fsfm_product_shape *shapes, int count,
                                    fsfm_device_peaks *out, fsfm_error *err);

#endif
