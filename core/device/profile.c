/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/profile.h"

#include <stdlib.h>

#include "core/base/clock.h"

/* What moves memory. */
#define MOVES(X)   \
    X(upload)      \
    X(download)    \
    X(start_read)  \
    X(finish_read) \
    X(copy)        \
    X(zero)        \
    X(set_matrix)  \
    X(get_matrix)

#define NUMBER(op) OP_##op,
#define VECTOR_NUMBER(op, x_type, y_type) OP_##op,
enum { FSFM_OPERATIONS(NUMBER) MOVES(NUMBER) FSFM_VECTOR_OPERATIONS(VECTOR_NUMBER) OPS };
#undef VECTOR_NUMBER
#undef NUMBER

typedef struct {
    fsfm_device device; /* first: what operations get is one of these */
    fsfm_device *inner;
    fsfm_profile_entry *entries; /* (OPS), borrowed */
} profiled;

struct fsfm_profile {
    profiled whole, own; /* whole: inner->whole; own.device.whole is whole's device */
    fsfm_profile_entry entries[OPS];
};

typedef struct {
    double flop, bytes;
} work;

/* Bytes of elements in compute precision, and of floats. */
static double acts(const fsfm_device *dev, double elements)
{
    return (double)dev->act_bytes * elements;
}

static double floats(double elements)
{
    return 4.0 * elements;
}

static double either(const fsfm_device *dev, bool is_float, double elements)
{
    return is_float ? floats(elements) : acts(dev, elements);
}

/* B (or N), T and C as reals, so that products do not overflow. */
static double times(int64_t a, int64_t b, int64_t c)
{
    return (double)a * (double)b * (double)c;
}

static double image_bytes(const fsfm_images *images, double pixels)
{
    return images->u8 ? pixels : floats(pixels);
}

static work work_linear(const fsfm_device *dev, const fsfm_linear_args *a)
{
    const double out = times(a->N, a->Cout, 1), active = a->active && a->active != a->out ? out : 0.0;
    return (work){2.0 * times(a->N, a->Cin, a->Cout),
                  acts(dev, times(a->N, a->Cin, 1) + times(a->Cin, a->Cout, 1) + active) +
                      either(dev, a->out_is_float, out + (a->residual ? out : 0.0))};
}

static work work_linear_backward(const fsfm_device *dev, const fsfm_linear_backward_args *a)
{
    const double in = times(a->N, a->Cin, 1), out = times(a->N, a->Cout, 1), w = times(a->Cin, a->Cout, 1);
    const double products = (a->dx != NULL) + (a->dweight != NULL);
    const double ins = (a->dx ? 1.0 + a->dx_adds : 0.0) + (a->dweight != NULL) + (a->hidden != NULL);
    return (work){products * 2.0 * times(a->N, a->Cin, a->Cout),
                  acts(dev, out + ins * in + (a->dx ? w : 0.0)) + floats(a->dweight ? 2.0 * w : 0.0)};
}

static work work_layernorm(const fsfm_device *dev, const fsfm_layernorm_args *a)
{
    const double values = times(a->N, a->C, 1);
    return (work){0, acts(dev, values) + either(dev, a->x_is_float, values)};
}

static work work_layernorm_backward(const fsfm_device *dev, const fsfm_layernorm_backward_args *a)
{
    const double values = times(a->N, a->C, 1);
    return (work){0, acts(dev, (2.0 + a->relu + a->dx_adds) * values) + either(dev, a->x_is_float, values)};
}

static work work_attention(const fsfm_device *dev, const fsfm_attention_args *a)
{
    const double C = times(a->H, a->D, 1);
    return (work){4.0 * times(a->B, a->Tq, a->T) * C,
                  acts(dev, 2.0 * (double)a->B * C * (double)(a->Tq + a->T))};
}

static work work_attention_backward(const fsfm_device *dev, const fsfm_attention_backward_args *a)
{
    const double C = times(a->H, a->D, 1);
    return (work){8.0 * times(a->B, a->Tq, a->T) * C,
                  acts(dev, 4.0 * (double)a->B * C * (double)(a->Tq + a->T))};
}

static double patch_values(const fsfm_images *images)
{
    return 3.0 * times(images->patch, images->patch, 1);
}

static work work_patches(const fsfm_device *dev, const fsfm_patches_args *a)
{
    const double values = times(a->B, a->K, 1) * patch_values(&a->images);
    return (work){0, image_bytes(&a->images, values) + acts(dev, values)};
}

static work work_embed(const fsfm_device *dev, const fsfm_embed_args *a)
{
    return (work){0, acts(dev, times(a->B, a->K, a->C)) + floats(times(a->B, 1 + 2 * a->K, a->C))};
}

static work work_embed_backward(const fsfm_device *dev, const fsfm_embed_backward_args *a)
{
    return (work){0, acts(dev, times(a->B, 1 + 2 * a->K, a->C))};
}

static work work_unshuffle(const fsfm_device *dev, const fsfm_unshuffle_args *a)
{
    const double rows = times(a->B, 1 + a->L, a->C);
    return (work){0, either(dev, a->is_float, times(a->B, 1 + a->K, a->C) + rows) +
                         (a->position ? floats(rows) : 0.0)};
}

static work work_unshuffle_backward(const fsfm_device *dev, const fsfm_unshuffle_backward_args *a)
{
    return (work){0,
                  acts(dev, times(a->B, 1 + a->L, a->C) + (1.0 + a->dx_adds) * times(a->B, 1 + a->K, a->C))};
}

static work work_pick(const fsfm_device *dev, const fsfm_pick_args *a)
{
    return (work){0, either(dev, a->is_float, 2.0 * times(a->B, a->R, a->C))};
}

static work work_pick_backward(const fsfm_device *dev, const fsfm_pick_backward_args *a)
{
    return (work){0, acts(dev, 3.0 * times(a->B, a->R, a->C))};
}

static work work_mean(const fsfm_device *dev, const fsfm_mean_args *a)
{
    return (work){0, acts(dev, times(a->B, a->T + 1, a->C))};
}

static work work_mean_backward(const fsfm_device *dev, const fsfm_mean_backward_args *a)
{
    return (work){0, acts(dev, times(a->B, 1 + (a->dx_adds ? 2 : 1) * a->T, a->C))};
}

static work work_normalize(const fsfm_device *dev, const fsfm_normalize_args *a)
{
    return (work){0, acts(dev, times(a->N, a->C, 1)) + floats(times(a->N, a->C, 1))};
}

static work work_normalize_backward(const fsfm_device *dev, const fsfm_normalize_backward_args *a)
{
    return (work){0, acts(dev, times(a->N, a->C, 1)) + floats(2.0 * times(a->N, a->C, 1))};
}

static work work_dot_loss(const fsfm_device *dev, const fsfm_dot_loss_args *a)
{
    (void)dev;
    return (work){0, floats((2.0 + (a->dq != NULL)) * times(a->N, a->C, 1))};
}

static work work_infonce(const fsfm_device *dev, const fsfm_infonce_args *a)
{
    const double products = 1.0 + (a->dq != NULL);
    (void)dev;
    return (work){products * 2.0 * times(a->N, a->M, a->C),
                  floats(products * times(a->N, a->C, 1) + times(a->M, a->C, 1) + times(a->N, a->M, 1))};
}

static work work_patch_loss(const fsfm_device *dev, const fsfm_patch_loss_args *a)
{
    const double values = times(a->B, a->R, 1) * patch_values(&a->images);
    return (work){0, image_bytes(&a->images, values) + acts(dev, (1.0 + (a->dpred != NULL)) * values)};
}

/* Parameters, both moments and the target are read and written, gradients read. */
static work work_adamw(const fsfm_device *dev, const fsfm_adamw_args *a)
{
    const double elements = (double)a->elements, with_target = (double)a->with_target;
    return (work){0, floats(5.0 * elements + 2.0 * with_target) + acts(dev, 2.0 * elements)};
}

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

static fsfm_status count(profiled *profile, int op, work done, double began_s, fsfm_error *err)
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
        return count(profile, OP_##op, work_##op(dev, args), began_s, err);                          \
    }
FSFM_OPERATIONS(DEFINE)
#undef DEFINE

/* The same around a call with arguments of its own; moved is in bytes. */
#define PASS_ON(op, moved, ...)                                          \
    profiled *profile = profile_of(dev);                                 \
    FSFM_TRY(settle(profile, err));                                      \
    const double began_s = fsfm_clock_monotonic_s();                     \
    FSFM_TRY(profile->inner->ops->op(profile->inner, __VA_ARGS__, err)); \
    return count(profile, OP_##op, (work){0, moved}, began_s, err)

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
    PASS_ON(set_matrix, floats(2.0 * (double)elements), elements, matrix, values);
}

static fsfm_status profile_get_matrix(fsfm_device *dev, int64_t elements, const void *matrix, float *values,
                                      fsfm_error *err)
{
    PASS_ON(get_matrix, floats(2.0 * (double)elements), elements, matrix, values);
}

static fsfm_status profile_to_act(fsfm_device *dev, int64_t elements, const float *x, fsfm_act *out,
                                  fsfm_error *err)
{
    PASS_ON(to_act, floats((double)elements) + acts(dev, (double)elements), elements, x, out);
}

static fsfm_status profile_matrix_rest(fsfm_device *dev, int64_t elements, const void *matrix, fsfm_act *out,
                                       fsfm_error *err)
{
    PASS_ON(matrix_rest, floats((double)elements) + acts(dev, (double)elements), elements, matrix, out);
}

static fsfm_status profile_add_act(fsfm_device *dev, int64_t elements, const fsfm_act *x, float *y,
                                   fsfm_error *err)
{
    PASS_ON(add_act, floats(2.0 * (double)elements) + acts(dev, (double)elements), elements, x, y);
}

static fsfm_status profile_add(fsfm_device *dev, int64_t elements, const float *x, float *y, fsfm_error *err)
{
    PASS_ON(add, floats(3.0 * (double)elements), elements, x, y);
}

static fsfm_status profile_norm_squared(fsfm_device *dev, int64_t elements, const float *x, double *sum_dev,
                                        fsfm_error *err)
{
    PASS_ON(norm_squared, floats((double)elements), elements, x, sum_dev);
}

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
    FSFM_OPERATIONS(MEMBER) FSFM_VECTOR_OPERATIONS(VECTOR_MEMBER) MOVES(MEMBER).alloc = profile_alloc,
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
#define NAME(op) #op,
#define VECTOR_NAME(op, x_type, y_type) #op,
    static const char *const names[OPS] = {FSFM_OPERATIONS(NAME) MOVES(NAME)
                                               FSFM_VECTOR_OPERATIONS(VECTOR_NAME)};
#undef VECTOR_NAME
#undef NAME
    for (int op = 0; op < OPS; op++) profile->entries[op] = (fsfm_profile_entry){.name = names[op]};
}

const fsfm_profile_entry *fsfm_profile_entries(const fsfm_profile *profile, int *count_out)
{
    *count_out = OPS;
    return profile->entries;
}
