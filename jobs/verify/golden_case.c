/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/verify/golden_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fsfm_status read_sizes(const fsfm_golden_file *file, fsfm_golden_case *out, fsfm_error *err)
{
    fsfm_model_options *o = &out->options;
    int64_t norm_pix = 0;
    const struct {
        const char *name;
        int64_t *to;
    } sizes[] = {
        {"img_size", &o->img_size},
        {"patch_size", &o->patch_size},
        {"embed_dim", &o->embed_dim},
        {"depth", &o->depth},
        {"num_heads", &o->num_heads},
        {"decoder_embed_dim", &o->decoder_embed_dim},
        {"decoder_depth", &o->decoder_depth},
        {"decoder_num_heads", &o->decoder_num_heads},
        {"rep_decoder_embed_dim", &o->rep_decoder_embed_dim},
        {"rep_decoder_depth", &o->rep_decoder_depth},
        {"rep_decoder_num_heads", &o->rep_decoder_num_heads},
        {"projection_size", &o->projection_size},
        {"projection_hidden_size", &o->projection_hidden_size},
        {"norm_pix_loss", &norm_pix},
        {"batch_size", &out->B},
        {"seed", &out->seed},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        FSFM_TRY(fsfm_golden_int(file, "/", sizes[i].name, sizes[i].to, err));
    o->norm_pix = norm_pix != 0;
    FSFM_TRY(fsfm_golden_real(file, "/", "mlp_ratio", &o->mlp_ratio, err));
    FSFM_TRY(fsfm_golden_real(file, "/", "ln_eps", &o->ln_eps, err));
    FSFM_TRY(fsfm_golden_real(file, "/", "weight_fr", &o->weight_fr, err));
    return fsfm_golden_real(file, "/", "weight_cl", &o->weight_sim, err);
}

/* Images are (B, 3, H, W) in the file; the device takes channels last. */
static void channels_last(const float *planes, int64_t B, int64_t size, float *out)
{
    const int64_t pixels = size * size;
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < pixels; i++)
            for (int64_t c = 0; c < 3; c++) out[(b * pixels + i) * 3 + c] = planes[(b * 3 + c) * pixels + i];
}

static fsfm_status fill_batch(const fsfm_golden_case *golden, const char *group, float *planes,
                              fsfm_golden_batch *out, fsfm_error *err)
{
    const int64_t size = golden->options.img_size, pixels = golden->B * size * size * 3;
    const int64_t patches = golden->B * golden->L;
    char path[128];
    snprintf(path, sizeof path, "%s/images", group);
    FSFM_TRY(fsfm_golden_floats(golden->file, path, pixels, planes, err));
    channels_last(planes, golden->B, size, out->images);
    snprintf(path, sizeof path, "%s/mask", group);
    FSFM_TRY(fsfm_golden_bytes(golden->file, path, patches, out->mask, err));
    snprintf(path, sizeof path, "%s/region", group);
    FSFM_TRY(fsfm_golden_bytes(golden->file, path, patches, out->region, err));
    out->totals.samples = golden->B;
    for (int64_t i = 0; i < patches; i++) {
        out->totals.masked_patches += out->mask[i] != 0;
        out->totals.region_patches += out->region[i] != 0;
    }
    return FSFM_OK;
}

fsfm_status fsfm_golden_batch_read(const fsfm_golden_case *golden, const char *group, fsfm_golden_batch *out,
                                   fsfm_error *err)
{
    const size_t pixels = (size_t)(golden->B * golden->options.img_size * golden->options.img_size * 3);
    const size_t patches = (size_t)(golden->B * golden->L);
    memset(out, 0, sizeof *out);
    float *planes = malloc(pixels * sizeof(float));
    out->images = malloc(pixels * sizeof(float));
    out->mask = malloc(patches);
    out->region = malloc(patches);
    fsfm_status st;
    if (planes && out->images && out->mask && out->region)
        st = fill_batch(golden, group, planes, out, err);
    else
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a batch of %" PRId64 " images", golden->B);
    free(planes);
    return st;
}

void fsfm_golden_batch_free(fsfm_golden_batch *batch)
{
    free(batch->images);
    free(batch->mask);
    free(batch->region);
    memset(batch, 0, sizeof *batch);
}

fsfm_status fsfm_golden_case_read(const fsfm_golden_file *file, fsfm_golden_case *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    out->file = file;
    fsfm_options_defaults(fsfm_model_options_table, fsfm_model_options_count, &out->options);
    FSFM_TRY(read_sizes(file, out, err));
    const char *key = "";
    if (fsfm_model_options_resolve(&out->options, &key, err) != FSFM_OK)
        return fsfm_context(err, "sizes of the golden file: %s", key);
    if (out->B < 1)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "batch_size is %" PRId64 ", expected 1 or more", out->B);
    const int64_t grid = out->options.img_size / out->options.patch_size;
    out->L = grid * grid;
    out->P = out->options.patch_size * out->options.patch_size * 3;
    FSFM_TRY(fsfm_golden_batch_read(out, "input", &out->input, err));
    for (int64_t l = 0; l < out->L; l++) out->K += out->input.mask[l] == 0;
    int64_t numbers = 0;
    if (fsfm_golden_has(file, "trajectory/steps"))
        FSFM_TRY(fsfm_golden_count(file, "trajectory/steps", &numbers, err));
    out->trajectory_steps = numbers / 7;
    return FSFM_OK;
}

void fsfm_golden_case_free(fsfm_golden_case *golden)
{
    fsfm_golden_batch_free(&golden->input);
}

/* FORMAT.md, "Weights by formula". network: "online" or "target". */
static void fill_by_formula(const fsfm_parameter *item, const char *network, int64_t seed, float *values)
{
    char key[FSFM_PARAMETER_NAME_SIZE + 48];
    snprintf(key, sizeof key, "%s/%" PRId64 "/%s", network, seed, item->name);
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (const char *c = key; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
    const size_t length = strlen(item->name);
    const bool is_token = length >= 5 && strcmp(item->name + length - 5, "token") == 0;
    const bool is_weight = length >= 7 && strcmp(item->name + length - 7, ".weight") == 0;
    float scale = 0.02f, offset = 0.0f;
    if (!is_token && item->axes > 1) {
        const int64_t out = item->shape[0], in = item->count / out;
        scale = (float)sqrt(6.0 / (double)(in + out));
    } else if (!is_token && is_weight) {
        scale = 0.1f;
        offset = 1.0f;
    }
    for (int64_t i = 0; i < item->count; i++) { /* splitmix64's finaliser */
        uint64_t x = hash + (uint64_t)i + 0x9E3779B97F4A7C15u;
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
        x = (x ^ x >> 27) * 0x94D049BB133111EBu;
        x ^= x >> 31;
        values[i] = offset + scale * ((float)(x >> 40) * 0x1p-23f - 1.0f);
    }
}

static fsfm_status set_network(const fsfm_golden_case *golden, fsfm_learner *learner, fsfm_state state,
                               const char *network, float *values, fsfm_error *err)
{
    const fsfm_parameters *list = fsfm_learner_parameters(learner);
    const int count = state == FSFM_STATE_TARGET ? list->trunk_count : list->count;
    const bool is_stored = fsfm_golden_has(golden->file, "weights");
    for (int i = 0; i < count; i++) {
        const fsfm_parameter *item = &list->items[i];
        if (is_stored) {
            char path[FSFM_PARAMETER_NAME_SIZE + 32];
            snprintf(path, sizeof path, "weights/%s/%s", network, item->name);
            FSFM_TRY(fsfm_golden_floats(golden->file, path, item->count, values + item->offset, err));
        } else {
            fill_by_formula(item, network, golden->seed, values + item->offset);
        }
    }
    return fsfm_learner_set_state(learner, state, values, err);
}

fsfm_status fsfm_golden_set_weights(const fsfm_golden_case *golden, fsfm_learner *learner, fsfm_error *err)
{
    const int64_t floats = fsfm_learner_state_floats(learner, FSFM_STATE_ONLINE);
    float *values = calloc((size_t)floats, sizeof *values); /* zeros between the tensors */
    if (!values) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " weights", floats);
    fsfm_status st = set_network(golden, learner, FSFM_STATE_ONLINE, "online", values, err);
    if (st == FSFM_OK) st = set_network(golden, learner, FSFM_STATE_TARGET, "target", values, err);
    free(values);
    return st;
}
