/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cost.h"

const char *fsfm_op_name(fsfm_op op)
{
#define NAME(op) #op,
#define VECTOR_NAME(op, x_type, y_type) #op,
    static const char *const names[FSFM_OPS] = {FSFM_OPERATIONS(NAME) FSFM_MOVES(NAME)
                                                    FSFM_VECTOR_OPERATIONS(VECTOR_NAME)};
#undef VECTOR_NAME
#undef NAME
    return names[op];
}

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

fsfm_cost fsfm_cost_linear(const fsfm_device *dev, const fsfm_linear_args *a)
{
    const double out = times(a->N, a->Cout, 1), active = a->active && a->active != a->out ? out : 0.0;
    return (fsfm_cost){2.0 * times(a->N, a->Cin, a->Cout),
                       acts(dev, times(a->N, a->Cin, 1) + times(a->Cin, a->Cout, 1) + active) +
                           either(dev, a->out_is_float, out + (a->residual ? out : 0.0))};
}

fsfm_cost fsfm_cost_linear_backward(const fsfm_device *dev, const fsfm_linear_backward_args *a)
{
    const double in = times(a->N, a->Cin, 1), out = times(a->N, a->Cout, 1), w = times(a->Cin, a->Cout, 1);
    const double products = (a->dx != NULL) + (a->dweight != NULL);
    const double ins = (a->dx ? 1.0 + a->dx_adds : 0.0) + (a->dweight != NULL) + (a->hidden != NULL);
    return (fsfm_cost){products * 2.0 * times(a->N, a->Cin, a->Cout),
                       acts(dev, out + ins * in + (a->dx ? w : 0.0)) + floats(a->dweight ? 2.0 * w : 0.0)};
}

fsfm_cost fsfm_cost_layernorm(const fsfm_device *dev, const fsfm_layernorm_args *a)
{
    const double values = times(a->N, a->C, 1);
    return (fsfm_cost){0, acts(dev, values) + either(dev, a->x_is_float, values)};
}

fsfm_cost fsfm_cost_layernorm_backward(const fsfm_device *dev, const fsfm_layernorm_backward_args *a)
{
    const double values = times(a->N, a->C, 1);
    return (fsfm_cost){0,
                       acts(dev, (2.0 + a->relu + a->dx_adds) * values) + either(dev, a->x_is_float, values)};
}

fsfm_cost fsfm_cost_attention(const fsfm_device *dev, const fsfm_attention_args *a)
{
    const double C = times(a->H, a->D, 1);
    return (fsfm_cost){4.0 * times(a->B, a->Tq, a->T) * C,
                       acts(dev, 2.0 * (double)a->B * C * (double)(a->Tq + a->T))};
}

fsfm_cost fsfm_cost_attention_backward(const fsfm_device *dev, const fsfm_attention_backward_args *a)
{
    const double C = times(a->H, a->D, 1);
    return (fsfm_cost){8.0 * times(a->B, a->Tq, a->T) * C,
                       acts(dev, 4.0 * (double)a->B * C * (double)(a->Tq + a->T))};
}

static double patch_values(const fsfm_images *images)
{
    return 3.0 * times(images->patch, images->patch, 1);
}

fsfm_cost fsfm_cost_patches(const fsfm_device *dev, const fsfm_patches_args *a)
{
    const double values = times(a->B, a->K, 1) * patch_values(&a->images);
    return (fsfm_cost){0, image_bytes(&a->images, values) + acts(dev, values)};
}

fsfm_cost fsfm_cost_embed(const fsfm_device *dev, const fsfm_embed_args *a)
{
    return (fsfm_cost){0, acts(dev, times(a->B, a->K, a->C)) + floats(times(a->B, 1 + 2 * a->K, a->C))};
}

fsfm_cost fsfm_cost_embed_backward(const fsfm_device *dev, const fsfm_embed_backward_args *a)
{
    return (fsfm_cost){0, acts(dev, times(a->B, 1 + 2 * a->K, a->C))};
}

fsfm_cost fsfm_cost_unshuffle(const fsfm_device *dev, const fsfm_unshuffle_args *a)
{
    const double rows = times(a->B, 1 + a->L, a->C);
    return (fsfm_cost){0, either(dev, a->is_float, times(a->B, 1 + a->K, a->C) + rows) +
                              (a->position ? floats(rows) : 0.0)};
}

fsfm_cost fsfm_cost_unshuffle_backward(const fsfm_device *dev, const fsfm_unshuffle_backward_args *a)
{
    return (fsfm_cost){
        0, acts(dev, times(a->B, 1 + a->L, a->C) + (1.0 + a->dx_adds) * times(a->B, 1 + a->K, a->C))};
}

fsfm_cost fsfm_cost_pick(const fsfm_device *dev, const fsfm_pick_args *a)
{
    return (fsfm_cost){0, either(dev, a->is_float, 2.0 * times(a->B, a->R, a->C))};
}

fsfm_cost fsfm_cost_pick_backward(const fsfm_device *dev, const fsfm_pick_backward_args *a)
{
    return (fsfm_cost){0, acts(dev, 3.0 * times(a->B, a->R, a->C))};
}

fsfm_cost fsfm_cost_mean(const fsfm_device *dev, const fsfm_mean_args *a)
{
    return (fsfm_cost){0, acts(dev, times(a->B, a->T + 1, a->C))};
}

fsfm_cost fsfm_cost_mean_backward(const fsfm_device *dev, const fsfm_mean_backward_args *a)
{
    return (fsfm_cost){0, acts(dev, times(a->B, 1 + (a->dx_adds ? 2 : 1) * a->T, a->C))};
}

fsfm_cost fsfm_cost_normalize(const fsfm_device *dev, const fsfm_normalize_args *a)
{
    return (fsfm_cost){0, acts(dev, times(a->N, a->C, 1)) + floats(times(a->N, a->C, 1))};
}

fsfm_cost fsfm_cost_normalize_backward(const fsfm_device *dev, const fsfm_normalize_backward_args *a)
{
    return (fsfm_cost){0, acts(dev, times(a->N, a->C, 1)) + floats(2.0 * times(a->N, a->C, 1))};
}

fsfm_cost fsfm_cost_dot_loss(const fsfm_device *dev, const fsfm_dot_loss_args *a)
{
    (void)dev;
    return (fsfm_cost){0, floats((2.0 + (a->dq != NULL)) * times(a->N, a->C, 1))};
}

fsfm_cost fsfm_cost_infonce(const fsfm_device *dev, const fsfm_infonce_args *a)
{
    const double products = 1.0 + (a->dq != NULL);
    (void)dev;
    return (fsfm_cost){products * 2.0 * times(a->N, a->M, a->C),
                       floats(products * times(a->N, a->C, 1) + times(a->M, a->C, 1) + times(a->N, a->M, 1))};
}

fsfm_cost fsfm_cost_patch_loss(const fsfm_device *dev, const fsfm_patch_loss_args *a)
{
    const double values = times(a->B, a->R, 1) * patch_values(&a->images);
    return (fsfm_cost){0, image_bytes(&a->images, values) + acts(dev, (1.0 + (a->dpred != NULL)) * values)};
}

/* Parameters, both moments and the target are read and written, gradients read. */
fsfm_cost fsfm_cost_adamw(const fsfm_device *dev, const fsfm_adamw_args *a)
{
    const double elements = (double)a->elements, with_target = (double)a->with_target;
    return (fsfm_cost){0, floats(5.0 * elements + 2.0 * with_target) + acts(dev, 2.0 * elements)};
}

fsfm_cost fsfm_cost_to_act(const fsfm_device *dev, int64_t count)
{
    return (fsfm_cost){0, floats((double)count) + acts(dev, (double)count)};
}

fsfm_cost fsfm_cost_matrix_rest(const fsfm_device *dev, int64_t count)
{
    return (fsfm_cost){0, floats((double)count) + acts(dev, (double)count)};
}

fsfm_cost fsfm_cost_add_act(const fsfm_device *dev, int64_t count)
{
    return (fsfm_cost){0, floats(2.0 * (double)count) + acts(dev, (double)count)};
}

fsfm_cost fsfm_cost_add(const fsfm_device *dev, int64_t count)
{
    (void)dev;
    return (fsfm_cost){0, floats(3.0 * (double)count)};
}

fsfm_cost fsfm_cost_norm_squared(const fsfm_device *dev, int64_t count)
{
    (void)dev;
    return (fsfm_cost){0, floats((double)count)};
}
