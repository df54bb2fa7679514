/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/counter.h"

#include <string.h>

/* The first address; none is NULL. */
enum { FIRST_ADDRESS = 1 << 20 };

static fsfm_status report(fsfm_device *dev, fsfm_op op, const void *args, fsfm_cost cost)
{
    const fsfm_counting *counting = (const fsfm_counting *)dev;
    const fsfm_counter *counter = counting->counter;
    const fsfm_counted counted = {op, counting == &counter->whole, args, cost};
    if (counter->tell) counter->tell(counter->context, &counted);
    return FSFM_OK;
}

static fsfm_status tell_bytes(fsfm_device *dev, fsfm_op op, size_t size_bytes)
{
    return report(dev, op, NULL, (fsfm_cost){0, (double)size_bytes});
}

#define DEFINE(op)                                                                                 \
    static fsfm_status count_##op(fsfm_device *dev, const fsfm_##op##_args *args, fsfm_error *err) \
    {                                                                                              \
        (void)err;                                                                                 \
        return report(dev, FSFM_OP_##op, args, fsfm_cost_##op(dev, args));                         \
    }
FSFM_OPERATIONS(DEFINE)
#undef DEFINE

#define DEFINE(op, x_type, y_type)                                                             \
    static fsfm_status count_##op(fsfm_device *dev, int64_t count, const x_type *x, y_type *y, \
                                  fsfm_error *err)                                             \
    {                                                                                          \
        (void)y, (void)err;                                                                    \
        return report(dev, FSFM_OP_##op, x, fsfm_cost_##op(dev, count));                       \
    }
FSFM_VECTOR_OPERATIONS(DEFINE)
#undef DEFINE

static fsfm_status count_upload(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                                fsfm_error *err)
{
    (void)dst, (void)src, (void)err;
    return tell_bytes(dev, FSFM_OP_upload, 2 * size_bytes);
}

static fsfm_status count_download(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                                  fsfm_error *err)
{
    (void)src, (void)err;
    memset(dst, 0, size_bytes);
    return tell_bytes(dev, FSFM_OP_download, 2 * size_bytes);
}

static fsfm_status count_start_read(fsfm_device *dev, const void *src, size_t size_bytes, fsfm_error *err)
{
    (void)src, (void)err;
    return tell_bytes(dev, FSFM_OP_start_read, 2 * size_bytes);
}

static fsfm_status count_finish_read(fsfm_device *dev, void *dst, size_t size_bytes, fsfm_error *err)
{
    (void)err;
    memset(dst, 0, size_bytes);
    return tell_bytes(dev, FSFM_OP_finish_read, 0);
}

static fsfm_status count_copy(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                              fsfm_error *err)
{
    (void)dst, (void)src, (void)err;
    return tell_bytes(dev, FSFM_OP_copy, 2 * size_bytes);
}

static fsfm_status count_zero(fsfm_device *dev, void *dst, size_t size_bytes, fsfm_error *err)
{
    (void)dst, (void)err;
    return tell_bytes(dev, FSFM_OP_zero, size_bytes);
}

static fsfm_status count_set_matrix(fsfm_device *dev, int64_t count, void *matrix, const float *values,
                                    fsfm_error *err)
{
    (void)matrix, (void)values, (void)err;
    return tell_bytes(dev, FSFM_OP_set_matrix, 2 * sizeof(float) * (size_t)count);
}

static fsfm_status count_get_matrix(fsfm_device *dev, int64_t count, const void *matrix, float *values,
                                    fsfm_error *err)
{
    (void)matrix, (void)err;
    memset(values, 0, sizeof(float) * (size_t)count);
    return tell_bytes(dev, FSFM_OP_get_matrix, 2 * sizeof(float) * (size_t)count);
}

static fsfm_status give_address(fsfm_device *dev, size_t size_bytes, void **ptr_dev, fsfm_error *err)
{
    fsfm_counter *counter = ((fsfm_counting *)dev)->counter;
    (void)err;
    *ptr_dev = (void *)(FIRST_ADDRESS + counter->allocated_bytes); /* never followed */
    counter->allocated_bytes += (size_bytes + FSFM_ARENA_ALIGN - 1) / FSFM_ARENA_ALIGN * FSFM_ARENA_ALIGN;
    return FSFM_OK;
}

static void forget_address(fsfm_device *dev, void *ptr_dev)
{
    (void)dev, (void)ptr_dev;
}

static fsfm_status do_nothing(fsfm_device *dev, fsfm_error *err)
{
    (void)dev, (void)err;
    return FSFM_OK;
}

#define MEMBER(op) .op = count_##op,
#define VECTOR_MEMBER(op, x_type, y_type) .op = count_##op,
static const fsfm_device_ops counter_ops = {
    FSFM_OPERATIONS(MEMBER) FSFM_VECTOR_OPERATIONS(VECTOR_MEMBER) FSFM_MOVES(MEMBER).alloc = give_address,
    .free = forget_address, .synchronize = do_nothing};
#undef VECTOR_MEMBER
#undef MEMBER

void fsfm_counter_init(fsfm_counter *counter, fsfm_precision precision, uint64_t memory_bytes,
                       fsfm_counter_fn tell, void *context)
{
    *counter = (fsfm_counter){.tell = tell, .context = context};
    fsfm_device *const own = &counter->own.device, *const whole = &counter->whole.device;
    *own = (fsfm_device){.ops = &counter_ops,
                         .kind = FSFM_DEVICE_CUDA,
                         .precision = precision,
                         .act_bytes = precision == FSFM_PRECISION_BF16 ? 2 : sizeof(float),
                         .memory_bytes = memory_bytes,
                         .threads = 1,
                         .name = "counter"};
    *whole = *own;
    whole->precision = FSFM_PRECISION_FP32;
    whole->act_bytes = sizeof(float);
    own->whole = precision == FSFM_PRECISION_FP32 ? own : whole; /* as in every device */
    whole->whole = whole;
    counter->own.counter = counter->whole.counter = counter;
}

fsfm_device *fsfm_counter_device(fsfm_counter *counter)
{
    return &counter->own.device;
}
