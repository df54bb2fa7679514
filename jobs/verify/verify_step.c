/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/verify/verify_step.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

void fsfm_verify_report(fsfm_verification *v, const fsfm_comparison *comparison, const char *group,
                        double tolerance)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", group, v->is_plain ? ", plain" : "");
    if (!fsfm_comparison_print(comparison, name, tolerance, v->log)) v->failed++;
}

fsfm_status fsfm_verify_open_learner(const fsfm_verification *v, bool gradients_only, fsfm_learner **out,
                                     fsfm_error *err)
{
    const fsfm_golden_case *golden = v->golden;
    const fsfm_learner_setup setup = {
        .options = &golden->options,
        .micro_batch = golden->B,
        .kept = golden->K,
        .global_batch = golden->B,
        .local_batch = golden->B,
        .gradients_only = gradients_only,
        .plain = v->is_plain,
        .recompute = FSFM_RECOMPUTE_GELU, /* as pretrain has it on processors */
        .records = v->records,
    };
    FSFM_TRY(fsfm_learner_open(v->dev, &setup, out, err));
    const fsfm_status st = fsfm_golden_set_weights(golden, *out, err);
    if (st != FSFM_OK) fsfm_learner_close(out);
    return st;
}

fsfm_status fsfm_verify_run(fsfm_learner *learner, const fsfm_golden_case *golden,
                            const fsfm_golden_batch *batch, fsfm_losses *losses, double *norm_squared,
                            fsfm_error *err)
{
    const fsfm_learner_input input = {
        .B = golden->B, .images_f32 = batch->images, .mask = batch->mask, .region = batch->region};
    fsfm_learner_results results;
    FSFM_TRY(fsfm_learner_begin_step(learner, err));
    FSFM_TRY(fsfm_learner_bring(learner, &input, err));
    FSFM_TRY(fsfm_learner_target(learner, 0, err));
    FSFM_TRY(fsfm_learner_online(learner, 0, &batch->totals, NULL, NULL, err));
    FSFM_TRY(fsfm_learner_start_read(learner, err));
    FSFM_TRY(fsfm_learner_finish_read(learner, &results, NULL, err));
    *losses = fsfm_losses_from_sums(&golden->options, &results.sums, &batch->totals);
    *norm_squared = results.norm_squared;
    return FSFM_OK;
}

static fsfm_status compare_losses(fsfm_verification *v, const fsfm_losses *got, fsfm_error *err)
{
    const struct {
        const char *attribute;
        double got;
    } losses[] = {{"out_loss", got->loss},
                  {"out_loss_rec_m", got->rec_m},
                  {"out_loss_rec_fr", got->rec_fr},
                  {"out_loss_sim", got->sim}};
    fsfm_comparison comparison = {0};
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        double want;
        FSFM_TRY(fsfm_golden_real(v->golden->file, "/", losses[i].attribute, &want, err));
        fsfm_comparison_note(&comparison, fsfm_compare_numbers(losses[i].got, want, 0.2), "%s",
                             losses[i].attribute);
    }
    fsfm_verify_report(v, &comparison, "losses", v->tolerances->loss);
    return FSFM_OK;
}

static void compare_features(fsfm_verification *v, const char *name, const float *got, const float *want)
{
    const int64_t C = v->golden->options.projection_size, count = v->golden->B * C;
    fsfm_comparison comparison = {0};
    if (v->tolerances->cosine <= 0.0) {
        fsfm_comparison_note(&comparison, fsfm_compare_arrays(got, want, count), "%s", name);
        fsfm_verify_report(v, &comparison, name, v->tolerances->outputs);
        return;
    }
    for (int64_t b = 0; b < v->golden->B; b++) {
        double dot = 0, got2 = 0, want2 = 0;
        for (int64_t c = b * C; c < (b + 1) * C; c++) {
            dot += (double)got[c] * (double)want[c];
            got2 += (double)got[c] * (double)got[c];
            want2 += (double)want[c] * (double)want[c];
        }
        fsfm_comparison_note(&comparison, 1.0 - dot / sqrt(got2 * want2), "image %" PRId64, b);
    }
    fsfm_verify_report(v, &comparison, name, v->tolerances->cosine);
}

/* Largest error over the patches that a loss looks at (all of them with the savings off), over the largest
 * value. */
static void compare_predictions(fsfm_verification *v, const float *got, const float *want)
{
    const fsfm_golden_case *golden = v->golden;
    const int64_t P = golden->P, rows = golden->B * golden->L;
    double largest = 0.0;
    for (int64_t i = 0; i < rows * P; i++) largest = fmax(largest, fabs((double)want[i]));
    fsfm_comparison comparison = {0};
    for (int64_t row = 0; row < rows; row++) {
        if (!v->is_plain && !golden->input.mask[row] && !golden->input.region[row]) continue;
        double worst = 0.0;
        for (int64_t i = row * P; i < (row + 1) * P; i++) {
            const double difference = fabs((double)got[i] - (double)want[i]);
            if (!(difference <= worst)) worst = difference;
        }
        fsfm_comparison_note(&comparison, worst / largest, "image %" PRId64 ", patch %" PRId64,
                             row / golden->L, row % golden->L);
    }
    fsfm_verify_report(v, &comparison, "pred", v->tolerances->outputs);
}

/* Buffers for one output: what was computed and what the file says. */
typedef struct {
    float *got, *want;
} output_pair;

static fsfm_status make_output(const fsfm_verification *v, const char *path, int64_t count, output_pair *out,
                               fsfm_error *err)
{
    out->got = malloc((size_t)count * sizeof(float));
    out->want = malloc((size_t)count * sizeof(float));
    if (!out->got || !out->want) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for '%s'", path);
    return fsfm_golden_floats(v->golden->file, path, count, out->want, err);
}

static fsfm_status compare_outputs(fsfm_verification *v, fsfm_learner *learner, fsfm_error *err)
{
    const fsfm_golden_case *g = v->golden;
    const int64_t latents = g->B * (1 + g->K) * g->options.embed_dim,
                  features = g->B * g->options.projection_size;
    output_pair latent = {0}, feat = {0}, feat_target = {0}, pred = {0};
    fsfm_status st = make_output(v, "output/latent", latents, &latent, err);
    if (st == FSFM_OK) st = make_output(v, "output/feat", features, &feat, err);
    if (st == FSFM_OK) st = make_output(v, "output/feat_target", features, &feat_target, err);
    if (st == FSFM_OK) st = make_output(v, "output/pred", g->B * g->L * g->P, &pred, err);
    if (st == FSFM_OK) {
        const fsfm_learner_outputs outputs = {latent.got, feat.got, feat_target.got, pred.got};
        st = fsfm_learner_get_outputs(learner, &outputs, err);
    }
    if (st == FSFM_OK) {
        fsfm_comparison comparison = {0};
        fsfm_comparison_note(&comparison, fsfm_compare_arrays(latent.got, latent.want, latents), "latent");
        fsfm_verify_report(v, &comparison, "latent", v->tolerances->outputs);
        compare_features(v, "feat", feat.got, feat.want);
        compare_features(v, "feat_target", feat_target.got, feat_target.want);
        compare_predictions(v, pred.got, pred.want);
    }
    output_pair *pairs[] = {&latent, &feat, &feat_target, &pred};
    for (int i = 0; i < 4; i++) {
        free(pairs[i]->got);
        free(pairs[i]->want);
    }
    return st;
}

typedef struct {
    fsfm_comparison l2, samples;
} gradient_comparison;

static double norm_of(const float *values, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) sum += (double)values[i] * (double)values[i];
    return sqrt(sum);
}

/* got (item->count) against the file: whole ("grad/NAME") or every stride-th element with the norm of the
 * whole. want has room for a whole tensor. */
static fsfm_status compare_gradient(fsfm_verification *v, const fsfm_parameter *item, float *got, float *want,
                                    gradient_comparison *to, fsfm_error *err)
{
    const fsfm_golden_file *file = v->golden->file;
    char path[FSFM_PARAMETER_NAME_SIZE + 32];
    int64_t stride = 1, count = item->count;
    double l2;
    snprintf(path, sizeof path, "grad/%s", item->name);
    const bool is_whole = fsfm_golden_has(file, path);
    if (!is_whole) {
        snprintf(path, sizeof path, "grad_sample/%s", item->name);
        FSFM_TRY(fsfm_golden_int(file, path, "stride", &stride, err));
        FSFM_TRY(fsfm_golden_real(file, path, "l2", &l2, err));
        FSFM_TRY(fsfm_golden_count(file, path, &count, err));
        if (stride < 1 || count < 1 || (count - 1) * stride >= item->count)
            return fsfm_fail(err, FSFM_ERR_FORMAT,
                             "'%s': %" PRId64 " samples with stride %" PRId64
                             " do not fit a tensor of %" PRId64,
                             path, count, stride, item->count);
    }
    FSFM_TRY(fsfm_golden_floats(file, path, count, want, err));
    if (is_whole) l2 = norm_of(want, count);
    const double got_l2 = norm_of(got, item->count);
    for (int64_t i = 0; i < count; i++) got[i] = got[i * stride];
    double largest = 0.0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)want[i]));
    if (largest < 1e-7 && l2 < 1e-7 * sqrt((double)item->count)) {
        double got_largest = 0.0; /* both are nothing: what is left is rounding */
        for (int64_t i = 0; i < count; i++) got_largest = fmax(got_largest, fabs((double)got[i]));
        fsfm_comparison_note(&to->samples, got_largest < 1e-6 ? 0.0 : INFINITY, "%s", item->name);
        return FSFM_OK;
    }
    fsfm_comparison_note(&to->l2, fsfm_compare_numbers(got_l2, l2, 1e-300), "%s", item->name);
    fsfm_comparison_note(&to->samples, fsfm_compare_arrays(got, want, count), "%s", item->name);
    return FSFM_OK;
}

static fsfm_status compare_gradients(fsfm_verification *v, fsfm_learner *learner, fsfm_error *err)
{
    const fsfm_parameters *list = fsfm_learner_parameters(learner);
    int64_t longest = 0;
    for (int i = 0; i < list->count; i++)
        if (list->items[i].count > longest) longest = list->items[i].count;
    float *got = malloc((size_t)longest * sizeof *got), *want = malloc((size_t)longest * sizeof *want);
    fsfm_status st = FSFM_OK;
    if (!got || !want)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for gradients of %" PRId64 " values", longest);
    gradient_comparison comparison = {0};
    for (int i = 0; st == FSFM_OK && i < list->count; i++) {
        const fsfm_parameter *item = &list->items[i];
        const float *from = fsfm_learner_gradients_dev(learner) + item->offset;
        st = v->dev->ops->download(v->dev, got, from, (size_t)item->count * sizeof *got, err);
        if (st == FSFM_OK) st = compare_gradient(v, item, got, want, &comparison, err);
    }
    if (st == FSFM_OK) {
        fsfm_verify_report(v, &comparison.l2, "gradients, l2", v->tolerances->gradient_l2);
        if (v->tolerances->gradient_sample > 0.0)
            fsfm_verify_report(v, &comparison.samples, "gradients, samples", v->tolerances->gradient_sample);
    }
    free(got);
    free(want);
    return st;
}

fsfm_status fsfm_verify_step(fsfm_verification *v, fsfm_error *err)
{
    fsfm_learner *learner = NULL;
    fsfm_losses losses;
    double norm_squared;
    fsfm_status st = fsfm_verify_open_learner(v, true, &learner, err);
    if (st == FSFM_OK)
        st = fsfm_verify_run(learner, v->golden, &v->golden->input, &losses, &norm_squared, err);
    if (st == FSFM_OK) st = compare_losses(v, &losses, err);
    if (st == FSFM_OK) st = compare_outputs(v, learner, err);
    if (st == FSFM_OK) st = compare_gradients(v, learner, err);
    fsfm_learner_close(&learner);
    return st;
}
