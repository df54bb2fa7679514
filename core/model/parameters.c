/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/parameters.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"

enum { OFFSET_STEP = 64 /* floats: 256 bytes */, BLOCK_TENSORS = 12, OTHER_TENSORS = 40 };

typedef struct {
    fsfm_parameters *list;
    bool is_trunk;
    bool is_whole; /* what is added is computed in fp32: fsfm_device's whole */
} builder;

static void add(builder *to, fsfm_init init, int axes, const int64_t *shape, const char *fmt, ...)
    FSFM_PRINTF(5, 6);
static void add(builder *to, fsfm_init init, int axes, const int64_t *shape, const char *fmt, ...)
{
    fsfm_parameters *list = to->list;
    fsfm_parameter *item = &list->items[list->count++];
    va_list args;
    va_start(args, fmt);
    vsnprintf(item->name, sizeof item->name, fmt, args);
    va_end(args);
    item->axes = axes;
    item->count = 1;
    for (int axis = 0; axis < axes; axis++) item->count *= item->shape[axis] = shape[axis];
    item->offset = list->total_floats;
    item->is_matrix = init == FSFM_INIT_XAVIER && !to->is_whole; /* what products in its precision read */
    item->is_decayed = axes > 1;
    item->is_trunk = to->is_trunk;
    item->init = init;
    list->total_floats += (item->count + OFFSET_STEP - 1) / OFFSET_STEP * OFFSET_STEP;
    list->total_elements += item->count;
    if (to->is_trunk) {
        list->trunk_count = list->count;
        list->trunk_floats = list->total_floats;
        list->trunk_elements = list->total_elements;
    }
}

static void add_linear(builder *to, const char *name, int64_t in, int64_t out)
{
    add(to, FSFM_INIT_XAVIER, 2, (int64_t[]){out, in}, "%s.weight", name);
    add(to, FSFM_INIT_ZERO, 1, &out, "%s.bias", name);
}

static void add_norm(builder *to, const char *name, int64_t width)
{
    add(to, FSFM_INIT_ONE, 1, &width, "%s.weight", name);
    add(to, FSFM_INIT_ZERO, 1, &width, "%s.bias", name);
}

static void add_token(builder *to, const char *name, int64_t width)
{
    add(to, FSFM_INIT_TOKEN, 3, (int64_t[]){1, 1, width}, "%s", name);
}

static void add_blocks(builder *to, const char *name, int64_t depth, int64_t width, double mlp_ratio)
{
    const int64_t hidden = (int64_t)((double)width * mlp_ratio);
    char part[FSFM_PARAMETER_NAME_SIZE];
    for (int block = 0; block < depth; block++) {
        snprintf(part, sizeof part, "%s.%d.norm1", name, block);
        add_norm(to, part, width);
        snprintf(part, sizeof part, "%s.%d.attn.qkv", name, block);
        add_linear(to, part, width, 3 * width);
        snprintf(part, sizeof part, "%s.%d.attn.proj", name, block);
        add_linear(to, part, width, width);
        snprintf(part, sizeof part, "%s.%d.norm2", name, block);
        add_norm(to, part, width);
        snprintf(part, sizeof part, "%s.%d.mlp.fc1", name, block);
        add_linear(to, part, width, hidden);
        snprintf(part, sizeof part, "%s.%d.mlp.fc2", name, block);
        add_linear(to, part, hidden, width);
    }
}

static void add_head(builder *to, const char *name, int64_t in, const fsfm_model_options *o)
{
    char part[FSFM_PARAMETER_NAME_SIZE];
    to->is_whole = true;
    snprintf(part, sizeof part, "%s.projection_head.0", name);
    add_linear(to, part, in, o->projection_hidden_size);
    snprintf(part, sizeof part, "%s.projection_head.1", name);
    add_norm(to, part, o->projection_hidden_size);
    snprintf(part, sizeof part, "%s.projection_head.3", name);
    add_linear(to, part, o->projection_hidden_size, o->projection_size);
    to->is_whole = false;
}

static void add_trunk(builder *to, const fsfm_model_options *o)
{
    const int64_t patch[4] = {o->embed_dim, 3, o->patch_size, o->patch_size};
    add(to, FSFM_INIT_XAVIER, 4, patch, "patch_embed.proj.weight");
    add(to, FSFM_INIT_ZERO, 1, &o->embed_dim, "patch_embed.proj.bias");
    add_token(to, "cls_token", o->embed_dim);
    add_blocks(to, "blocks", o->depth, o->embed_dim, o->mlp_ratio);
    add_norm(to, "norm", o->embed_dim);
    add_token(to, "mask_token", o->rep_decoder_embed_dim);
    if (o->id_loss == FSFM_ID_NONE) return;
    if (o->id_rep_decoder) {
        add_linear(to, "rep_decoder_embed", o->embed_dim, o->rep_decoder_embed_dim);
        add_blocks(to, "rep_decoder_blocks", o->rep_decoder_depth, o->rep_decoder_embed_dim, o->mlp_ratio);
        add_norm(to, "rep_decoder_norm", o->rep_decoder_embed_dim);
        to->is_whole = true;
        add_linear(to, "rep_decoder_pred", o->rep_decoder_embed_dim, o->embed_dim);
        to->is_whole = false;
    }
    add_head(to, "projector", o->embed_dim, o);
}

static void add_online_only(builder *to, const fsfm_model_options *o)
{
    if (o->id_loss != FSFM_ID_NONE) add_head(to, "predictor", o->projection_size, o);
    add_linear(to, "decoder_embed", o->embed_dim, o->decoder_embed_dim);
    add_blocks(to, "decoder_blocks", o->decoder_depth, o->decoder_embed_dim, o->mlp_ratio);
    add_norm(to, "decoder_norm", o->decoder_embed_dim);
    add_linear(to, "decoder_pred", o->decoder_embed_dim, o->patch_size * o->patch_size * 3);
}

fsfm_status fsfm_parameters_list(const fsfm_model_options *options, fsfm_parameters *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    const int64_t blocks = options->depth + options->rep_decoder_depth + options->decoder_depth;
    out->items = calloc((size_t)(blocks * BLOCK_TENSORS + OTHER_TENSORS), sizeof *out->items);
    if (!out->items) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the list of parameters");
    add_trunk(&(builder){.list = out, .is_trunk = true}, options);
    add_online_only(&(builder){.list = out}, options);
    return FSFM_OK;
}

void fsfm_parameters_free(fsfm_parameters *parameters)
{
    free(parameters->items);
    memset(parameters, 0, sizeof *parameters);
}

int fsfm_parameters_find(const fsfm_parameters *parameters, const char *name)
{
    for (int i = 0; i < parameters->count; i++)
        if (strcmp(parameters->items[i].name, name) == 0) return i;
    return -1;
}

/* FNV-1a: which stream a tensor draws from. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return hash;
}

static void init_tensor(const fsfm_parameter *item, uint64_t seed, float *values)
{
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_INIT, 0, hash_name(item->name));
    const int64_t out = item->shape[0], in = item->count / out;
    const double bound = sqrt(6.0 / (double)(in + out));
    switch (item->init) {
    case FSFM_INIT_XAVIER:
        for (int64_t i = 0; i < item->count; i++) {
            const double u = (double)fsfm_random_u32(&random) * 0x1p-31 - 1.0; /* [-1, 1) */
            values[i] = (float)(bound * u);
        }
        break;
    case FSFM_INIT_TOKEN:
        for (int64_t i = 0; i < item->count; i++) values[i] = (float)(0.02 * fsfm_random_normal(&random));
        break;
    case FSFM_INIT_ONE:
        for (int64_t i = 0; i < item->count; i++) values[i] = 1.0f;
        break;
    case FSFM_INIT_ZERO: break; /* the array starts as zeros */
    }
}

void fsfm_parameters_init(const fsfm_parameters *parameters, uint64_t seed, float *values_host)
{
    memset(values_host, 0, (size_t)parameters->total_floats * sizeof *values_host);
    for (int i = 0; i < parameters->count; i++)
        init_tensor(&parameters->items[i], seed, values_host + parameters->items[i].offset);
}
