/* SPDX-License-Identifier: Apache-2.0
 * AdamW with the moving average of the target: floats to a few roundings of the double result. In bf16 the
 * second moments are rounded up or down at random; that is held to what should be random about it. */
#include <math.h>
#include <stdlib.h>

#include "core/device/adamw.h"
#include "tests/support/bfloat16.h"
#include "tests/support/device_case.h"

/* A tensor with what an update of it reads and writes; its moments are 0 where it is new. */
typedef struct {
    case_array *p, *target, *g, *m, *v;
} tensor;

static tensor random_tensor(device_case *c, case_kind kind, int64_t count, bool is_new)
{
    const double size = is_new ? 0.0 : 0.1;
    tensor x = {case_random(c, kind, count, 1.0), case_random(c, kind, count, 1.0),
                case_random(c, CASE_FLOATS, count, 0.1), case_random(c, CASE_FLOATS, count, size), NULL};
    float *squares = case_download(c, case_random(c, CASE_FLOATS, count, size));
    for (int64_t i = 0; i < count; i++) squares[i] = squares[i] * squares[i] + (float)(size * size);
    x.v = case_given(c, CASE_ACTS, squares, count);
    free(squares);
    return x;
}

static case_array *copy_array(device_case *c, const case_array *x, case_kind kind)
{
    float *values = case_download(c, x);
    case_array *copy = case_given(c, kind, values, x->count);
    free(values);
    return copy;
}

/* The same numbers once more, the weights as kind. */
static tensor copy_tensor(device_case *c, const tensor *x, case_kind kind)
{
    return (tensor){copy_array(c, x->p, kind), copy_array(c, x->target, kind),
                    copy_array(c, x->g, CASE_FLOATS), copy_array(c, x->m, CASE_FLOATS),
                    copy_array(c, x->v, CASE_ACTS)};
}

static fsfm_adamw_update update_at(int64_t t)
{
    return (fsfm_adamw_update){.t = t,
                               .lr = 1e-2 / (double)t,
                               .beta1 = 0.9,
                               .beta2 = 0.95,
                               .eps = 1e-8,
                               .decay = 0.05,
                               .grad_scale = 0.5,
                               .momentum = 0.996};
}

static void *bring(device_case *c, const void *data, size_t size_bytes)
{
    void *dev = NULL;
    assert_ok(c->dev->ops->alloc(c->dev, size_bytes, &dev, &c->err), &c->err);
    assert_ok(c->dev->ops->upload(c->dev, dev, data, size_bytes, &c->err), &c->err);
    return dev;
}

/* Brings count tensors of x's arrays to the device, as pieces: the caller frees args.pieces. */
static fsfm_adamw_args list_of(device_case *c, const tensor *x, const fsfm_adamw_piece *tensors, int count)
{
    fsfm_adamw_piece pieces[64] = {0};
    fsfm_adamw_args args = {
        .params = x->p->dev, .target = x->target->dev, .grads = x->g->dev, .m = x->m->dev, .v = x->v->dev};
    for (int i = 0; i < count; i++) {
        assert_true(args.count + fsfm_adamw_cut(&tensors[i], NULL) <= 64);
        args.count += fsfm_adamw_cut(&tensors[i], pieces + args.count);
        args.elements += tensors[i].count;
        args.with_target += tensors[i].has_target ? tensors[i].count : 0;
    }
    args.pieces = bring(c, pieces, (size_t)args.count * sizeof *pieces);
    return args;
}

static void free_list(device_case *c, const fsfm_adamw_args *args)
{
    c->dev->ops->free(c->dev, (void *)(uintptr_t)args->pieces);
}

static void update_list(device_case *c, const tensor *x, const fsfm_adamw_piece *tensors, int count,
                        const fsfm_adamw_update *how)
{
    const fsfm_adamw_numbers numbers = fsfm_adamw_numbers_of(how);
    fsfm_adamw_args args = list_of(c, x, tensors, count);
    void *numbers_dev = bring(c, &numbers, sizeof numbers);
    args.numbers = numbers_dev;
    assert_ok(c->dev->ops->adamw(c->dev, &args, &c->err), &c->err);
    c->dev->ops->free(c->dev, numbers_dev);
    free_list(c, &args);
}

/* The whole of x as one tensor; a decay of 0 is left out. */
static void update(device_case *c, const tensor *x, const fsfm_adamw_update *how)
{
    fsfm_adamw_update told = *how;
    const fsfm_adamw_piece whole = {.count = x->p->count,
                                    .is_matrix = x->p->kind == CASE_MATRIX,
                                    .is_decayed = how->decay != 0.0,
                                    .has_target = true};
    if (!whole.is_decayed) told.decay = 0.05; /* of other tensors */
    update_list(c, x, &whole, 1, &told);
}

static double next_m(const tensor *x, const fsfm_adamw_update *how, int64_t i)
{
    return how->beta1 * x->m->want[i] + (1.0 - how->beta1) * how->grad_scale * x->g->want[i];
}

static double next_v(const tensor *x, const fsfm_adamw_update *how, int64_t i)
{
    const double g = how->grad_scale * x->g->want[i];
    return how->beta2 * x->v->want[i] + (1.0 - how->beta2) * g * g;
}

/* Makes what the device holds what the reference goes on with. */
static void take_over(device_case *c, case_array *array)
{
    float *got = case_download(c, array);
    for (int64_t i = 0; i < array->count; i++) array->want[i] = (double)got[i];
    free(got);
}

/* In bf16 one of the two neighbours of want, which is good to 3e-7. */
static void check_second_moment(device_case *c, const tensor *x, const fsfm_adamw_update *how)
{
    float *v = case_download(c, x->v);
    for (int64_t i = 0; i < x->v->count; i++) {
        const double got = (double)v[i], want = next_v(x, how, i), low = want * (1.0 - 3e-7),
                     high = want * (1.0 + 3e-7);
        const bool is_near =
            c->is_bf16 ? got >= bf16_below(low) && got <= bf16_above(high) : got >= low && got <= high;
        if (!is_near) fail_msg("second moment %.9g, want %.9g", got, want);
    }
    free(v);
}

/* Holds one update against the definition, from the numbers before it (want) to those after it, which are
 * the next ones before. The weights follow from the moments as they are stored, the target from the weights.
 */
static void check_update(device_case *c, const tensor *x, const fsfm_adamw_update *how)
{
    const bool is_exact = how->momentum == 0.0 || how->momentum == 1.0;
    const double correction1 = 1.0 - pow(how->beta1, (double)how->t),
                 correction2 = 1.0 - pow(how->beta2, (double)how->t);
    const int64_t count = x->p->count;
    check_second_moment(c, x, how);
    for (int64_t i = 0; i < count; i++) x->m->want[i] = next_m(x, how, i);
    case_check(c, x->m, "m", 2e-7, 2e-9); /* may be a small difference of 0.01 and 0.01 */
    take_over(c, x->m);
    take_over(c, x->v);
    for (int64_t i = 0; i < count; i++) {
        const double mhat = x->m->want[i] / correction1, vhat = x->v->want[i] / correction2;
        x->p->want[i] -= how->lr * (mhat / (sqrt(vhat) + how->eps) + how->decay * x->p->want[i]);
    }
    case_check(c, x->p, "params", 2e-7, 1e-8);
    take_over(c, x->p);
    for (int64_t i = 0; i < count; i++)
        x->target->want[i] = how->momentum * x->target->want[i] + (1.0 - how->momentum) * x->p->want[i];
    case_check(c, x->target, "target", is_exact ? 0.0 : 1e-7, is_exact ? 0.0 : 2e-7);
    take_over(c, x->target);
}

/* sizes: count, whether the moments are zeros at first. */
static void adamw_case(device_case *c, const int64_t *sizes)
{
    static const double momenta[] = {0.996, 0.5, 0.0, 1.0};
    const tensor floats = random_tensor(c, CASE_FLOATS, sizes[0], sizes[1]),
                 matrix = copy_tensor(c, &floats, CASE_MATRIX);
    for (int t = 1; t <= 4; t++) {
        fsfm_adamw_update how = update_at(t);
        how.momentum = momenta[t - 1];
        if (t == 2) how.decay = 0.0;
        update(c, &floats, &how);
        update(c, &matrix, &how);
        check_update(c, &floats, &how);
        case_check_equal(c, matrix.p, floats.p, "a matrix instead of floats");
        case_check_equal(c, matrix.target, floats.target, "target of a matrix");
    }
}

/* Three tensors instead of one, wherever they begin; and without a target. */
static void cut_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0], ends[] = {0, count / 7, count / 2 + 1, count};
    const tensor whole = random_tensor(c, CASE_FLOATS, count, false),
                 cut = copy_tensor(c, &whole, CASE_FLOATS);
    const fsfm_adamw_update how = update_at(5);
    fsfm_adamw_piece tensors[3];
    for (int i = 0; i < 3; i++)
        tensors[i] =
            (fsfm_adamw_piece){.tensor = ends[i], .count = ends[i + 1] - ends[i], .is_decayed = true};
    update(c, &whole, &how);
    update_list(c, &cut, tensors, 3, &how);
    case_check_equal(c, cut.p, whole.p, "params of three");
    case_check_equal(c, cut.m, whole.m, "m of three");
    case_check_equal(c, cut.v, whole.v, "v of three");
    case_check(c, cut.target, "target that does not follow", 0.0, 0.0);
}

enum { TENSORS = 8 };

/* Tensors of all kinds in arrays of their own, with room between them. As many floats as are random lie where
 * a matrix is to be. */
static tensor tensors_of_all_kinds(device_case *c, const fsfm_adamw_piece *tensors)
{
    const fsfm_adamw_piece *last = &tensors[TENSORS - 1];
    tensor x = random_tensor(c, CASE_FLOATS, last->tensor + last->count + 5, false);
    float *values = case_download(c, x.g);
    for (int i = 0; i < TENSORS; i++) {
        float *params = case_at(c, x.p, tensors[i].tensor), *target = case_at(c, x.target, tensors[i].tensor);
        if (!tensors[i].is_matrix) continue;
        assert_ok(c->dev->ops->set_matrix(c->dev, tensors[i].count, params, values, &c->err), &c->err);
        assert_ok(c->dev->ops->set_matrix(c->dev, tensors[i].count, target, values + 1, &c->err), &c->err);
    }
    free(values);
    return x;
}

/* An array of floats as it is, whatever lies in it. */
static case_array *copy_bytes(device_case *c, const case_array *x)
{
    case_array *copy = case_output(c, CASE_FLOATS, x->count);
    assert_ok(c->dev->ops->copy(c->dev, copy->dev, x->dev, (size_t)x->count * sizeof(float), &c->err),
              &c->err);
    return copy;
}

/* All tensors at once, or one after the other. sizes: floats between the tensors, of which only some numbers
 * let all of them begin where vectors may. */
static void list_case(device_case *c, const int64_t *sizes)
{
    static const int64_t counts[TENSORS] = {
        1, 17, 1000, FSFM_ADAMW_PIECE, 3, FSFM_ADAMW_PIECE + 1, 2 * FSFM_ADAMW_PIECE + 402, 4099};
    const fsfm_adamw_update how = update_at(3);
    fsfm_adamw_piece tensors[TENSORS];
    int64_t end = 0;
    for (int i = 0; i < TENSORS; i++) {
        tensors[i] = (fsfm_adamw_piece){.tensor = (end + sizes[0]) / sizes[0] * sizes[0],
                                        .count = counts[i],
                                        .is_matrix = i % 2 == 1,
                                        .is_decayed = i % 4 < 2,
                                        .has_target = i < 5};
        end = tensors[i].tensor + counts[i];
    }
    const tensor x = tensors_of_all_kinds(c, tensors);
    const tensor y = {copy_bytes(c, x.p), copy_bytes(c, x.target), x.g, copy_bytes(c, x.m),
                      copy_array(c, x.v, CASE_ACTS)};
    update_list(c, &x, tensors, TENSORS, &how);
    for (int i = 0; i < TENSORS; i++) update_list(c, &y, &tensors[i], 1, &how);
    case_check_equal(c, x.p, y.p, "params in a list");
    case_check_equal(c, x.target, y.target, "target in a list");
    case_check_equal(c, x.m, y.m, "m in a list");
    case_check_equal(c, x.v, y.v, "v in a list");
    float *m = case_download(c, x.m);
    for (int64_t i = 0, at = 0; i < TENSORS; at = tensors[i].tensor + tensors[i].count, i++)
        for (; at < tensors[i].tensor; at++) /* between tensors */
            assert_true((double)m[at] == x.m->want[at]);
    free(m);
}

enum { MANY = 1 << 18 };

/* What rounding did to the second moments in update t of x: how far each is off, in steps from one number to
 * the next; variance: of a rounding up or down in proportion. */
static void roundings_of(device_case *c, const tensor *x, int64_t t, double *off, double *variance)
{
    const fsfm_adamw_update how = update_at(t);
    update(c, x, &how);
    float *v = case_download(c, x->v);
    for (int64_t i = 0; i < MANY; i++) {
        const double want = next_v(x, &how, i), step = bf16_step(want),
                     share = (want - bf16_below(want)) / step;
        off[i] = ((double)v[i] - want) / step;
        variance[i] = share * (1.0 - share);
    }
    free(v);
}

/* The sum of count independent numbers of mean 0 stays within 6 deviations. */
static void assert_no_bias(const double *x, const double *variance, int64_t count, const char *what)
{
    double sum = 0.0, total = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += x[i];
        total += variance[i];
    }
    if (!(fabs(sum) <= 6.0 * sqrt(total))) fail_msg("%s: %.3g deviations off", what, sum / sqrt(total));
}

/* Neither rounding tells about the other. */
static void assert_independent(const double *x, const double *y, int64_t count, const char *what)
{
    double *product = malloc((size_t)count * sizeof *product),
           *square = malloc((size_t)count * sizeof *square);
    assert_true(product && square);
    for (int64_t i = 0; i < count; i++) {
        product[i] = x[i] * y[i];
        square[i] = product[i] * product[i];
    }
    assert_no_bias(product, square, count, what);
    free(product);
    free(square);
}

/* The chance to be rounded up is the share of the step that lies below: in every sixteenth of a step. */
static void assert_in_proportion(const double *off, const double *variance, int64_t count)
{
    double part_off[16] = {0}, part_variance[16] = {0};
    for (int64_t i = 0; i < count; i++) {
        const double share = off[i] > 0.0 ? 1.0 - off[i] : -off[i];
        const int part = (int)fmin(15.0, 16.0 * share);
        part_off[part] += off[i];
        part_variance[part] += variance[i];
    }
    for (int part = 0; part < 16; part++) {
        assert_true(part_variance[part] > 100.0);
        assert_no_bias(part_off + part, part_variance + part, 1, "share of moments rounded up");
    }
}

/* What is drawn depends on t and the place alone, so this comes out the same every time. */
static void moments_are_rounded_at_random(void **state)
{
    (void)state;
    device_case c;
    case_begin(&c, 2, MANY);
    if (!c.is_bf16) {
        case_end(&c);
        skip(); /* nothing is rounded */
    }
    const tensor x = random_tensor(&c, CASE_FLOATS, MANY, false), again = copy_tensor(&c, &x, CASE_FLOATS);
    double *off = malloc(MANY * sizeof *off), *next = malloc(MANY * sizeof *next),
           *variance = malloc(MANY * sizeof *variance);
    assert_true(off && next && variance);
    roundings_of(&c, &again, 8, next, variance);
    roundings_of(&c, &x, 7, off, variance);
    assert_no_bias(off, variance, MANY, "all");
    assert_in_proportion(off, variance, MANY);
    assert_independent(off, next, MANY, "a rounding and that of the next update");
    assert_independent(off, off + 1, MANY - 1, "a rounding and its neighbour's");
    assert_independent(off, off + 16, MANY - 16, "a rounding and that of the next vector");
    free(off);
    free(next);
    free(variance);
    case_end(&c);
}

/* Moments that shrink by less than half a step an update shrink all the same; with the same draw in every
 * update some would not. */
static void small_changes_add_up(void **state)
{
    (void)state;
    enum { COUNT = 4096, UPDATES = 200 };
    device_case c;
    case_begin(&c, 2, COUNT);
    tensor x = random_tensor(&c, CASE_FLOATS, COUNT, true);
    float ones[COUNT];
    for (int i = 0; i < COUNT; i++) ones[i] = 1.0f;
    x.v = case_given(&c, CASE_ACTS, ones, COUNT);
    case_zero(&c, x.g);
    for (int t = 1; t <= UPDATES; t++) {
        fsfm_adamw_update how = update_at(t);
        how.beta2 = 0.999;
        update(&c, &x, &how);
    }
    take_over(&c, x.v);
    double mean = 0.0;
    for (int i = 0; i < COUNT; i++) mean += x.v->want[i] / COUNT;
    /* 200 roundings of half a step, 2^-9, at most: deviation 0.028, of the mean 4.3e-4; six of them. */
    const double want = pow(0.999, UPDATES);
    print_message("mean %.6f, want %.6f\n", mean, want);
    assert_true(fabs(mean - want) <= (c.is_bf16 ? 2.6e-3 : 1e-5));
    case_end(&c);
}

/* However momentum is rounded, a target that equals the weights stays equal where those stay. */
static void target_keeps_what_is_equal(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static const case_kind kinds[] = {CASE_FLOATS, CASE_MATRIX};
    for (int k = 0; k < 2; k++) {
        device_case c;
        case_begin(&c, 1, COUNT);
        tensor x = random_tensor(&c, kinds[k], COUNT, false);
        const case_array *before = copy_array(&c, x.p, kinds[k]);
        x.target = copy_array(&c, x.p, kinds[k]);
        for (int i = 0; i < 100; i++) {
            fsfm_adamw_update how = update_at(1 + i);
            how.lr = 0.0;
            how.momentum = 0.996 + 4e-5 * i;
            update(&c, &x, &how);
        }
        case_check_equal(&c, x.p, before, "params at lr 0");
        case_check_equal(&c, x.target, before, "target");
        case_end(&c);
    }
}

/* What differs from update to update lies in memory, and is read when a recording is replayed. */
static void recorded_updates_go_on(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    device_case c;
    fsfm_recording *recording = NULL;
    case_begin(&c, 1, COUNT);
    fsfm_recorder *recorder = c.dev->recorder;
    if (!recorder) {
        case_end(&c);
        skip();
    }
    const tensor x = random_tensor(&c, CASE_MATRIX, COUNT, false), y = copy_tensor(&c, &x, CASE_MATRIX);
    const fsfm_adamw_piece whole = {
        .count = COUNT, .is_matrix = true, .is_decayed = true, .has_target = true};
    fsfm_adamw_numbers numbers = {0};
    fsfm_adamw_args args = list_of(&c, &x, &whole, 1);
    void *numbers_dev = case_bytes(&c, &numbers, sizeof numbers);
    args.numbers = numbers_dev;
    assert_ok(recorder->ops->begin(recorder, &c.err), &c.err);
    assert_ok(c.dev->ops->adamw(c.dev, &args, &c.err), &c.err);
    assert_ok(recorder->ops->end(recorder, &recording, &c.err), &c.err);
    for (int t = 1; t <= 3; t++) {
        fsfm_adamw_update how = update_at(t);
        how.momentum = 1.0 / t;
        numbers = fsfm_adamw_numbers_of(&how);
        assert_ok(c.dev->ops->upload(c.dev, numbers_dev, &numbers, sizeof numbers, &c.err), &c.err);
        assert_ok(recorder->ops->replay(recorder, recording, &c.err), &c.err);
        update(&c, &y, &how);
        case_check_equal(&c, x.p, y.p, "params of a replay");
        case_check_equal(&c, x.target, y.target, "target of a replay");
        case_check_equal(&c, x.v, y.v, "v of a replay");
    }
    recorder->ops->free(recorder, recording);
    free_list(&c, &args);
    case_end(&c);
}

static void adamw_is_the_definition(void **state)
{
    (void)state;
    case_run_counts(adamw_case, false);
    case_run_counts(adamw_case, true);
}

static void adamw_may_be_cut(void **state)
{
    (void)state;
    case_run_counts(cut_case, 0);
}

static void tensors_may_be_of_all_kinds(void **state)
{
    static const int64_t steps[] = {64, 4, 2, 1};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) case_run(list_case, &steps[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_is_the_definition),       cmocka_unit_test(adamw_may_be_cut),
        cmocka_unit_test(tensors_may_be_of_all_kinds),   cmocka_unit_test(recorded_updates_go_on),
        cmocka_unit_test(moments_are_rounded_at_random), cmocka_unit_test(small_changes_add_up),
        cmocka_unit_test(target_keeps_what_is_equal)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
