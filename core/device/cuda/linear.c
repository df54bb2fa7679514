/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/linear.c - linear layers, as products. GELU is a kernel of its own: cublasLt's is the
 * approximation by tanh. */
#include "core/device/cuda/cuda_device.h"

fsfm_status fsfm_cuda_linear(fsfm_device *dev, const fsfm_linear_args *args, fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    if (args->N == 0) return FSFM_OK;
    const fsfm_cuda_product_args product = {.M = args->N,
                                            .N = args->Cout,
                                            .K = args->Cin,
                                            .a = args->x,
                                            .b = args->weight,
                                            .b_transposed = true,
                                            .bias = args->bias,
                                            .added = args->residual,
                                            .c_is_float = args->out_is_float,
                                            .c = args->out};
    FSFM_TRY(fsfm_cuda_library_product(cuda, &product, err));
    if (!args->active) return FSFM_OK;
    return fsfm_cuda_check(cuda, fsfm_cuda_gelu(&cuda->queue, args->N * args->Cout, args->out, args->active),
                           "gelu", err);
}

static fsfm_status linear_dx(fsfm_cuda_device *cuda, const fsfm_linear_backward_args *args, fsfm_error *err)
{
    const fsfm_cuda_product_args product = {.M = args->N,
                                            .N = args->Cin,
                                            .K = args->Cout,
                                            .a = args->dout,
                                            .b = args->weight,
                                            .added = args->dx_adds ? args->dx : NULL,
                                            .c = args->dx};
    FSFM_TRY(fsfm_cuda_library_product(cuda, &product, err));
    if (!args->hidden) return FSFM_OK;
    return fsfm_cuda_check(
        cuda,
        fsfm_cuda_gelu_backward(&cuda->queue, args->N * args->Cin, args->hidden, args->dx, args->active),
        "gelu_backward", err);
}

/* And dbias, the sums of dout's columns, which the product reads anyway. */
static fsfm_status linear_dweight(fsfm_cuda_device *cuda, const fsfm_linear_backward_args *args,
                                  fsfm_error *err)
{
    const fsfm_cuda_product_args product = {.M = args->Cout,
                                            .N = args->Cin,
                                            .K = args->N,
                                            .a = args->dout,
                                            .a_transposed = true,
                                            .b = args->active ? args->active : args->x,
                                            .added = args->dweight,
                                            .c_is_float = true,
                                            .c = args->dweight,
                                            .a_sums = args->dbias};
    return fsfm_cuda_library_product(cuda, &product, err);
}

fsfm_status fsfm_cuda_linear_backward(fsfm_device *dev, const fsfm_linear_backward_args *args,
                                      fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    if (args->N == 0) return FSFM_OK;
    FSFM_ASSERT(!args->hidden || (args->dx && !args->dx_adds));
    if (args->dx) FSFM_TRY(linear_dx(cuda, args, err)); /* first: dweight may need active */
    if (args->dweight) return linear_dweight(cuda, args, err);
    if (!args->dbias) return FSFM_OK;
    return fsfm_cuda_check(cuda,
                           fsfm_cuda_column_sums(&cuda->queue, args->N, args->Cout, args->dout, args->dbias),
                           "column_sums", err);
}
