/* SPDX-License-Identifier: Apache-2.0
 * Patches, embedding, token order, means. Copies and single sums are exact to a rounding, which case_check
 * allows; sums over images and tokens are floats and grow with their square root. */
#include <math.h>
#include <stdlib.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

/* A random subset of K of L in ascending order for each image, in index (B, K); slot (B, L) is its inverse.
 */
static void draw_subsets(device_case *c, int64_t B, int64_t K, int64_t L, int32_t *index, int32_t *slot)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t l = 0, k = 0; l < L; l++) {
            const bool taken = (int64_t)fsfm_random_below(&c->random, (uint32_t)(L - l)) < K - k;
            if (taken) index[b * K + k] = (int32_t)l;
            slot[b * L + l] = taken ? (int32_t)k++ : -1;
        }
}

static void patches_case(device_case *c, const int64_t *sizes)
{
    const int64_t B = sizes[0], patch = sizes[1], across = sizes[2], size = patch * across, K = sizes[3];
    const int64_t L = across * across, P = patch * patch * 3, values = B * size * size * 3;
    uint8_t *u8 = malloc((size_t)values);
    int32_t *index = malloc((size_t)(B * K) * sizeof *index), *slot = malloc((size_t)(B * L) * sizeof *slot);
    double *pixels = malloc((size_t)values * sizeof *pixels);
    assert_true(u8 && index && slot && pixels);
    for (int64_t i = 0; i < values; i++) u8[i] = (uint8_t)fsfm_random_u32(&c->random);
    draw_subsets(c, B, K, L, index, slot);
    const fsfm_images images = {.size = size,
                                .patch = patch,
                                .u8 = case_bytes(c, u8, (size_t)values),
                                .mean = {0.5f, 0.4f, 0.3f},
                                .std = {0.2f, 0.25f, 0.3f}};
    const case_array *f32 = case_random(c, CASE_FLOATS, values, 1.0);
    case_array *some = case_output(c, CASE_ACTS, B * K * P), *all = case_output(c, CASE_ACTS, B * L * P);
    fsfm_patches_args args = {.B = B, .K = K, .images = images, .out = some->dev};
    args.index = case_bytes(c, index, (size_t)(B * K) * sizeof *index);
    assert_ok(c->dev->ops->patches(c->dev, &args, &c->err), &c->err);
    args = (fsfm_patches_args){.B = B, .K = L, .images = images, .out = all->dev};
    args.images.u8 = NULL;
    args.images.f32 = f32->dev;
    assert_ok(c->dev->ops->patches(c->dev, &args, &c->err), &c->err);
    ref_pixels(B, size, u8, images.mean, images.std, pixels);
    ref_patches(B, K, size, patch, pixels, index, some->want);
    ref_patches(B, L, size, patch, f32->want, NULL, all->want);
    case_check(c, some, "patches of bytes", 2e-7, 1e-7);
    case_check(c, all, "patches of floats", 0.0, 0.0);
    free(u8);
    free(index);
    free(slot);
    free(pixels);
}

static void embed_case(device_case *c, const int64_t *sizes)
{
    const int64_t B = sizes[0], K = sizes[1], L = sizes[2], C = sizes[3];
    int32_t *index = malloc((size_t)(B * K) * sizeof *index), *slot = malloc((size_t)(B * L) * sizeof *slot);
    assert_true(index && slot);
    draw_subsets(c, B, K, L, index, slot);
    const int32_t *index_dev = case_bytes(c, index, (size_t)(B * K) * sizeof *index);
    const case_array *patches = case_random(c, CASE_ACTS, B * K * C, 1.0),
                     *token = case_random(c, CASE_FLOATS, C, 1.0),
                     *position = case_random(c, CASE_FLOATS, L * C, 1.0),
                     *dout = case_random(c, CASE_ACTS, B * (1 + K) * C, 1.0);
    case_array *dpatches = case_output(c, CASE_ACTS, B * K * C),
               *dclass = case_random(c, CASE_FLOATS, C, 1.0);
    for (int with_index = 0; with_index < 2; with_index++) {
        case_array *out = case_output(c, CASE_FLOATS, B * (1 + K) * C);
        const fsfm_embed_args args = {.B = B,
                                      .K = K,
                                      .C = C,
                                      .patches = patches->dev,
                                      .class_token = token->dev,
                                      .position = position->dev,
                                      .index = with_index ? index_dev : NULL,
                                      .out = out->dev};
        assert_ok(c->dev->ops->embed(c->dev, &args, &c->err), &c->err);
        ref_embed(B, K, C, patches->want, token->want, position->want, with_index ? index : NULL, out->want);
        case_check(c, out, "out", 1e-7, 0.0);
    }
    const fsfm_embed_backward_args backward = {
        .B = B, .K = K, .C = C, .dout = dout->dev, .dpatches = dpatches->dev, .dclass = dclass->dev};
    assert_ok(c->dev->ops->embed_backward(c->dev, &backward, &c->err), &c->err);
    ref_embed_backward(B, K, C, dout->want, dpatches->want, dclass->want);
    case_check(c, dpatches, "dpatches", 0.0, 0.0);
    case_check(c, dclass, "dclass", 1e-6, 1e-6 * sqrt((double)B));
    free(index);
    free(slot);
}

/* sizes: B, K, L, C, whether a position is given and dx is added to, the form. In the one-token form L = K
 * + 1.
 */
enum { ONE_FILL, FILL_BY_PLACE, ONE_TOKEN };

static void unshuffle_case(device_case *c, const int64_t *sizes)
{
    const int64_t B = sizes[0], K = sizes[1], L = sizes[2], C = sizes[3];
    const bool is_placed = sizes[4] & 1, adds = sizes[4] & 2, is_float = sizes[4] & 4;
    const case_kind kind = is_float ? CASE_FLOATS : CASE_ACTS;
    const bool one_token = sizes[5] == ONE_TOKEN, by_place = sizes[5] == FILL_BY_PLACE;
    int32_t *index = malloc((size_t)(B * K) * sizeof *index + 1),
            *slot = malloc((size_t)(B * L) * sizeof *slot);
    assert_true(index && slot);
    draw_subsets(c, B, K, L, index, slot);
    const int32_t *slot_dev = one_token ? NULL : case_bytes(c, slot, (size_t)(B * L) * sizeof *slot);
    const int32_t *slot_host = one_token ? NULL : slot;
    const int64_t fills = by_place ? L * C : C;
    const case_array *x = case_random(c, kind, B * (1 + K) * C, 1.0),
                     *fill = case_random(c, kind, fills, 1.0),
                     *position = case_random(c, CASE_FLOATS, L * C, 1.0),
                     *dout = case_random(c, CASE_ACTS, B * (1 + L) * C, 1.0);
    case_array *out = case_output(c, kind, B * (1 + L) * C),
               *dx = case_target(c, CASE_ACTS, B * (1 + K) * C, adds),
               *dfill = case_random(c, CASE_FLOATS, fills, 1.0);
    const fsfm_unshuffle_args args = {.B = B,
                                      .K = K,
                                      .L = L,
                                      .C = C,
                                      .x = x->dev,
                                      .fill = fill->dev,
                                      .fill_by_place = by_place,
                                      .is_float = is_float,
                                      .position = is_placed ? position->dev : NULL,
                                      .slot = slot_dev,
                                      .out = out->dev};
    const fsfm_unshuffle_backward_args backward = {.B = B,
                                                   .K = K,
                                                   .L = L,
                                                   .C = C,
                                                   .dout = dout->dev,
                                                   .slot = slot_dev,
                                                   .dx = dx->dev,
                                                   .dx_adds = adds,
                                                   .dfill = dfill->dev,
                                                   .fill_by_place = by_place};
    assert_ok(c->dev->ops->unshuffle(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->unshuffle_backward(c->dev, &backward, &c->err), &c->err);
    ref_unshuffle(B, K, L, C, x->want, fill->want, by_place, is_placed ? position->want : NULL, slot_host,
                  out->want);
    ref_unshuffle_backward(B, K, L, C, dout->want, slot_host, dx->want, dfill->want, by_place);
    case_check(c, out, "out", 1e-7, 0.0);
    case_check(c, dx, "dx", 1e-7, 0.0);
    case_check(c, dfill, "dfill", 1e-6, 1e-6 * sqrt((double)(by_place ? B : B * L)));
    fsfm_unshuffle_backward_args no_fill = backward;
    case_array *again = case_output(c, CASE_ACTS, B * (1 + K) * C);
    no_fill.dx = again->dev;
    no_fill.dx_adds = false;
    no_fill.dfill = NULL;
    assert_ok(c->dev->ops->unshuffle_backward(c->dev, &no_fill, &c->err), &c->err);
    ref_unshuffle_backward(B, K, L, C, dout->want, slot_host, again->want, NULL, by_place);
    case_check(c, again, "dx without dfill", 1e-7, 0.0);
    free(index);
    free(slot);
}

/* R distinct rows of T, in any order. */
static void draw_rows(device_case *c, int64_t B, int64_t T, int64_t R, int32_t *index)
{
    int32_t left[T];
    for (int64_t b = 0; b < B; b++) {
        for (int64_t t = 0; t < T; t++) left[t] = (int32_t)t;
        for (int64_t r = 0; r < R; r++) {
            const uint32_t at = fsfm_random_below(&c->random, (uint32_t)(T - r));
            index[b * R + r] = left[at];
            left[at] = left[T - r - 1];
        }
    }
}

static void pick_case(device_case *c, const int64_t *sizes)
{
    const int64_t B = sizes[0], T = sizes[1], R = sizes[2], C = sizes[3];
    int32_t *index = malloc((size_t)(B * R) * sizeof *index);
    assert_non_null(index);
    draw_rows(c, B, T, R, index);
    const int32_t *index_dev = case_bytes(c, index, (size_t)(B * R) * sizeof *index);
    for (int is_float = 0; is_float < 2; is_float++) {
        const case_kind kind = is_float ? CASE_FLOATS : CASE_ACTS;
        const case_array *x = case_random(c, kind, B * T * C, 1.0);
        case_array *out = case_output(c, kind, B * R * C);
        const fsfm_pick_args args = {.B = B,
                                     .T = T,
                                     .R = R,
                                     .C = C,
                                     .is_float = is_float,
                                     .x = x->dev,
                                     .index = index_dev,
                                     .out = out->dev};
        assert_ok(c->dev->ops->pick(c->dev, &args, &c->err), &c->err);
        ref_pick(B, T, R, C, x->want, index, out->want);
        case_check(c, out, "out", 0.0, 0.0);
    }
    const case_array *dout = case_random(c, CASE_ACTS, B * R * C, 1.0);
    case_array *dx = case_random(c, CASE_ACTS, B * T * C, 1.0);
    const fsfm_pick_backward_args backward = {
        .B = B, .T = T, .R = R, .C = C, .x = dout->dev, .index = index_dev, .y = dx->dev};
    assert_ok(c->dev->ops->pick_backward(c->dev, &backward, &c->err), &c->err);
    ref_pick_backward(B, T, R, C, dout->want, index, dx->want);
    case_check(c, dx, "y", 1e-7, 0.0);
    free(index);
}

static void mean_case(device_case *c, const int64_t *sizes)
{
    const int64_t B = sizes[0], T = sizes[1], C = sizes[2];
    const float multiplicity = (float)sizes[3];
    const case_array *x = case_random(c, CASE_ACTS, B * T * C, 1.0),
                     *dout = case_random(c, CASE_ACTS, B * C, 1.0);
    case_array *out = case_output(c, CASE_ACTS, B * C);
    const fsfm_mean_args args = {
        .B = B, .T = T, .C = C, .last_multiplicity = multiplicity, .x = x->dev, .out = out->dev};
    assert_ok(c->dev->ops->mean(c->dev, &args, &c->err), &c->err);
    ref_mean(B, T, C, (double)multiplicity, x->want, out->want);
    case_check(c, out, "out", 1e-6, 5e-7);
    for (int adds = 0; adds < 2; adds++) {
        case_array *dx = case_target(c, CASE_ACTS, B * T * C, adds);
        const fsfm_mean_backward_args backward = {.B = B,
                                                  .T = T,
                                                  .C = C,
                                                  .last_multiplicity = multiplicity,
                                                  .dout = dout->dev,
                                                  .dx = dx->dev,
                                                  .dx_adds = adds};
        assert_ok(c->dev->ops->mean_backward(c->dev, &backward, &c->err), &c->err);
        ref_mean_backward(B, T, C, (double)multiplicity, dout->want, dx->want);
        case_check(c, dx, "dx", 2e-7, 1e-7);
    }
}

static void patches_are_the_references(void **state)
{
    (void)state;
    case_run(patches_case, (const int64_t[]){1, 1, 1, 1});
    case_run(patches_case, (const int64_t[]){3, 8, 4, 4});
    case_run(patches_case, (const int64_t[]){17, 3, 5, 7});
    case_run(patches_case, (const int64_t[]){2, 16, 14, 49});
}

static void embed_is_the_references(void **state)
{
    (void)state;
    case_run(embed_case, (const int64_t[]){1, 1, 1, 1});
    case_run(embed_case, (const int64_t[]){3, 4, 16, 48});
    case_run(embed_case, (const int64_t[]){130, 5, 9, 33});
    case_run(embed_case, (const int64_t[]){17, 49, 196, 70});
}

static void unshuffle_is_the_references(void **state)
{
    (void)state;
    for (int64_t flags = 0; flags < 8; flags++) {
        for (int64_t form = ONE_FILL; form <= FILL_BY_PLACE; form++) {
            case_run(unshuffle_case, (const int64_t[]){1, 1, 1, 1, flags, form});
            case_run(unshuffle_case, (const int64_t[]){3, 4, 16, 48, flags, form});
            case_run(unshuffle_case, (const int64_t[]){17, 49, 196, 33, flags, form});
            case_run(unshuffle_case, (const int64_t[]){2, 16, 16, 24, flags, form});
        }
        case_run(unshuffle_case, (const int64_t[]){70, 5, 6, 100, flags, ONE_TOKEN});
    }
}

static void pick_is_the_references(void **state)
{
    (void)state;
    case_run(pick_case, (const int64_t[]){1, 1, 1, 1});
    case_run(pick_case, (const int64_t[]){3, 17, 5, 48});
    case_run(pick_case, (const int64_t[]){17, 197, 160, 33});
    case_run(pick_case, (const int64_t[]){2, 9, 9, 100});
}

static void mean_is_the_references(void **state)
{
    (void)state;
    case_run(mean_case, (const int64_t[]){1, 1, 1, 1});
    case_run(mean_case, (const int64_t[]){3, 17, 48, 1});
    case_run(mean_case, (const int64_t[]){17, 51, 70, 147});
    case_run(mean_case, (const int64_t[]){2, 257, 384, 1});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_are_the_references), cmocka_unit_test(embed_is_the_references),
        cmocka_unit_test(unshuffle_is_the_references), cmocka_unit_test(pick_is_the_references),
        cmocka_unit_test(mean_is_the_references)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
