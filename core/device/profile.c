/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/profile.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/device/cost.h"

typedef struct {
    fsfm_device device; /* first: what operations get is one of these */
    fsfm_device *inner;
    fsfm_profile_entry *entries; /* (FSFM_OPS), borrowed */
} profiled;

struct fsfm_profile {
    profiled whole, own; /* whole: inner->whole; own.device.whole is whole's device */
    fsfm_profile_entry entries[FSFM_OPS];
};

static profiled *profile_of(fsfm_device *dev)
{
    return (profiled *)dev;
}

/* Host memory is there when an operation returns; other memory when its queue is empty. */
static fsfm_status settle(const profiled *profile, fsfm_error *err)
{
    if (profile->inner->memory_is_host) return FSFM_OK;
    return profile->inner->ops->synchronize(profile->inner, err);
}

static fsfm_status count(profiled *profile, int op, fsfm_cost done, double began_s, fsfm_error *err)
{
    fsfm_profile_entry *entry = &profile->entries[op];
    FSFM_TRY(settle(profile, err));
    entry->calls++;
    entry->seconds += fsfm_clock_monotonic_s() - began_s;
    entry->flop += done.flop;
    entry->bytes += done.bytes;
    return FSFM_OK;
}

#define DEFINE(op)                                                                                   \
    static fsfm_status profile_##op(fsfm_device *dev, const fsfm_##op##_args *args, fsfm_error *err) \
    {                                                                                                \
        profiled *profile = profile_of(dev);                                                         \
        FSFM_TRY(settle(profile, err));                                                              \
        const double began_s = fsfm_clock_monotonic_s();                                             \
        FSFM_TRY(profile->inner->ops->op(profile->inner, args, err));                                \
        return count(profile, FSFM_OP_##op, fsfm_cost_##op(dev, args), began_s, err);                \
    }
FSFM_OPERATIONS(DEFINE)
#undef DEFINE

/* The same around a call with arguments of its own; moved is in bytes. */
#define PASS_ON(op, moved, ...)                                          \
    profiled *profile = profile_of(dev);                                 \
    FSFM_TRY(settle(profile, err));                                      \
    const double began_s = fsfm_clock_monotonic_s();                     \
    FSFM_TRY(profile->inner->ops->op(profile->inner, __VA_ARGS__, err)); \
    return count(profile, FSFM_OP_##op, (fsfm_cost){0, moved}, began_s, err)

static fsfm_status profile_upload(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                                  fsfm_error *err)
{
    PASS_ON(upload, 2.0 * (double)size_bytes, dst, src, size_bytes);
}

static fsfm_status profile_download(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                                    fsfm_error *err)
{
    PASS_ON(download, 2.0 * (double)size_bytes, dst, src, size_bytes);
}

static fsfm_status profile_start_read(fsfm_device *dev, const void *src, size_t size_bytes, fsfm_error *err)
{
    PASS_ON(start_read, 2.0 * (double)size_bytes, src, size_bytes);
}

static fsfm_status profile_finish_read(fsfm_device *dev, void *dst, size_t size_bytes, fsfm_error *err)
{
    PASS_ON(finish_read, 0.0, dst, size_bytes);
}

static fsfm_status profile_copy(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                                fsfm_error *err)
{
    PASS_ON(copy, 2.0 * (double)size_bytes, dst, src, size_bytes);
}

static fsfm_status profile_zero(fsfm_device *dev, void *dst, size_t size_bytes, fsfm_error *err)
{
    PASS_ON(zero, (double)size_bytes, dst, size_bytes);
}

static fsfm_status profile_set_matrix(fsfm_device *dev, int64_t elements, void *matrix, const float *values,
                                      fsfm_error *err)
{
    PASS_ON(set_matrix, 8.0 * (double)elements, elements, matrix, values);
}

static fsfm_status profile_get_matrix(fsfm_device *dev, int64_t elements, const void *matrix, float *values,
                                      fsfm_error *err)
{
    PASS_ON(get_matrix, 8.0 * (double)elements, elements, matrix, values);
}

#define DEFINE(op, x_type, y_type)                                                                  \
    static fsfm_status profile_##op(fsfm_device *dev, int64_t elements, const x_type *x, y_type *y, \
                                    fsfm_error *err)                                                \
    {                                                                                               \
        PASS_ON(op, fsfm_cost_##op(dev, elements).bytes, elements, x, y);                           \
    }
FSFM_VECTOR_OPERATIONS(DEFINE)
#undef DEFINE

static fsfm_status profile_alloc(fsfm_device *dev, size_t size_bytes, void **ptr_dev, fsfm_error *err)
{
    fsfm_device *inner = profile_of(dev)->inner;
    return inner->ops->alloc(inner, size_bytes, ptr_dev, err);
}

static void profile_free(fsfm_device *dev, void *ptr_dev)
{
    fsfm_device *inner = profile_of(dev)->inner;
    inner->ops->free(inner, ptr_dev);
}

static fsfm_status profile_synchronize(fsfm_device *dev, fsfm_error *err)
{
    fsfm_device *inner = profile_of(dev)->inner;
    return inner->ops->synchronize(inner, err);
}

#define MEMBER(op) .op = profile_##op,
#define VECTOR_MEMBER(op, x_type, y_type) .op = profile_##op,
static const fsfm_device_ops profile_ops = {
    FSFM_OPERATIONS(MEMBER) FSFM_VECTOR_OPERATIONS(VECTOR_MEMBER) FSFM_MOVES(MEMBER).alloc = profile_alloc,
    .free = profile_free, .synchronize = profile_synchronize};
#undef VECTOR_MEMBER
#undef MEMBER

static void wrap(profiled *p, fsfm_device *inner, fsfm_profile_entry *entries)
{
    *p = (profiled){.device = *inner, .inner = inner, .entries = entries};
    p->device.ops = &profile_ops;
    p->device.recorder = NULL; /* what is replayed cannot be told apart */
}

fsfm_status fsfm_profile_open(fsfm_device *inner, fsfm_profile **out, fsfm_error *err)
{
    fsfm_profile *profile = calloc(1, sizeof *profile);
    *out = profile;
    if (!profile) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a profile");
    wrap(&profile->own, inner, profile->entries);
    wrap(&profile->whole, inner->whole, profile->entries);
    profile->own.device.whole = profile->whole.device.whole = &profile->whole.device;
    fsfm_profile_reset(profile);
    return FSFM_OK;
}

void fsfm_profile_close(fsfm_profile **profile)
{
    free(*profile);
    *profile = NULL;
}

fsfm_device *fsfm_profile_device(fsfm_profile *profile)
{
    return &profile->own.device;
}

void fsfm_profile_reset(fsfm_profile *profile)
{
    for (int op = 0; op < FSFM_OPS; op++)
        profile->entries[op] = (fsfm_profile_entry){.name = fsfm_op_name((fsfm_op)op)};
}

const fsfm_profile_entry *fsfm_profile_entries(const fsfm_profile *profile, int *count_out)
{
    *count_out = FSFM_OPS;
    return profile->entries;
}
