/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/model_options.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#define MEMBER(name) offsetof(fsfm_model_options, name)

static const char *const preset_names[] = {"vit_t16", "vit_s16", "vit_b16", "vit_l16", "vit_h14", NULL};
static const char *const rep_pos_names[] = {"zeros", "sincos", NULL};
static const char *const id_loss_names[] = {"cosine", "byol", "infonce", "none", NULL};
static const char *const update_names[] = {"ema", "frozen", "shared", NULL};
static const char *const view_names[] = {"full", "masked", NULL};

/* A size of the network: auto is the preset's. */
#define SIZE(member, min, max, unit, meaning)                                                             \
    {                                                                                                     \
        "model." #member, FSFM_OPTION_INT_OR_AUTO, MEMBER(member), "auto", min, max, NULL, unit, meaning, \
            false                                                                                         \
    }

const fsfm_option fsfm_model_options_table[] = {
    {"model.preset", FSFM_OPTION_CHOICE, MEMBER(preset), "vit_b16", 0, 0, preset_names, "",
     "fills every size of the network that is auto", false},
    SIZE(img_size, 8, 4096, "pixels", "side of the images"),
    SIZE(patch_size, 1, 256, "pixels", "side of a patch"),
    SIZE(embed_dim, 4, 65536, "", "width of the encoder"),
    SIZE(depth, 1, 1024, "blocks", "depth of the encoder"),
    SIZE(num_heads, 1, 1024, "", "attention heads of the encoder"),
    SIZE(decoder_embed_dim, 4, 65536, "", "width of the pixel decoder"),
    SIZE(decoder_depth, 1, 1024, "blocks", "depth of the pixel decoder"),
    SIZE(decoder_num_heads, 1, 1024, "", "attention heads of the pixel decoder"),
    SIZE(rep_decoder_embed_dim, 4, 65536, "", "width of the representation decoder, that of the encoder"),
    SIZE(rep_decoder_depth, 1, 1024, "blocks", "depth of the representation decoder"),
    SIZE(rep_decoder_num_heads, 1, 1024, "", "attention heads of the representation decoder"),
    SIZE(projection_size, 1, 65536, "", "width of the representations that are compared"),
    SIZE(projection_hidden_size, 1, 1 << 20, "", "hidden width of projector and predictor"),
    {"model.mlp_ratio", FSFM_OPTION_REAL, MEMBER(mlp_ratio), "4", 0.25, 64, NULL, "",
     "hidden width of a block's MLP over the block's width", false},
    {"model.ln_eps", FSFM_OPTION_REAL, MEMBER(ln_eps), "1e-6", 1e-12, 0.1, NULL, "",
     "epsilon of the layer norms (1e-5 in projector and predictor whatever this is)", false},
    {"model.rep_pos", FSFM_OPTION_CHOICE, MEMBER(rep_pos), "zeros", 0, 0, rep_pos_names, "",
     "position table of the representation decoder; zeros as published", false},
    {"model.init", FSFM_OPTION_TEXT, MEMBER(init), "", 0, 0, NULL, "",
     "checkpoint whose weights a new run starts from; empty: random weights", false},

    {"loss.weight_fr", FSFM_OPTION_REAL, MEMBER(weight_fr), "0.007", 0, 1000, NULL, "",
     "weight of the reconstruction loss over the covered facial region", false},
    {"loss.weight_sim", FSFM_OPTION_REAL, MEMBER(weight_sim), "0.1", 0, 1000, NULL, "",
     "weight of the similarity between online and target representation", false},
    {"loss.norm_pix", FSFM_OPTION_BOOL, MEMBER(norm_pix), "true", 0, 0, NULL, "",
     "reconstruct pixels normalised by patch instead of plain ones", false},

    {"id.loss", FSFM_OPTION_CHOICE, MEMBER(id_loss), "cosine", 0, 0, id_loss_names, "",
     "loss between the representations; none: no target network at all", false},
    {"id.temperature", FSFM_OPTION_REAL, MEMBER(temperature), "0.1", 0.001, 100, NULL, "",
     "temperature of id.loss: infonce", false},
    {"id.rep_decoder", FSFM_OPTION_BOOL, MEMBER(id_rep_decoder), "true", 0, 0, NULL, "",
     "use the representation decoder; false: projector on the mean of the encoder's tokens", false},

    {"target.update", FSFM_OPTION_CHOICE, MEMBER(target_update), "ema", 0, 0, update_names, "",
     "target weights: moving average of the online ones, their start values for ever, or the online ones",
     false},
    {"target.view", FSFM_OPTION_CHOICE, MEMBER(target_view), "full", 0, 0, view_names, "",
     "what the target network sees: the whole image, or a masked one with a mask of its own", false},
    {"target.momentum", FSFM_OPTION_REAL, MEMBER(target_momentum), "0.996", 0, 1, NULL, "",
     "momentum of the moving average at the start; it goes to 1 by a half-cosine", false},

    {"optim.blr", FSFM_OPTION_REAL, MEMBER(blr), "1.5e-4", 0, 10, NULL, "",
     "learning rate for a global batch of 256; the rate used is blr x global_batch / 256", false},
    {"optim.beta1", FSFM_OPTION_REAL, MEMBER(beta1), "0.9", 0, 0.99999, NULL, "",
     "AdamW: decay of the first moment", false},
    {"optim.beta2", FSFM_OPTION_REAL, MEMBER(beta2), "0.95", 0, 0.99999, NULL, "",
     "AdamW: decay of the second moment", false},
    {"optim.eps", FSFM_OPTION_REAL, MEMBER(eps), "1e-8", 1e-16, 0.1, NULL, "", "AdamW: epsilon", false},
    {"optim.weight_decay", FSFM_OPTION_REAL, MEMBER(weight_decay), "0.05", 0, 10, NULL, "",
     "AdamW: decay of tensors with more than one dimension", false},
    {"optim.clip", FSFM_OPTION_REAL, MEMBER(clip), "1", 0, 1e6, NULL, "",
     "largest global norm of the gradient; 0: no limit", false},
    {"optim.warmup_epochs", FSFM_OPTION_REAL, MEMBER(warmup_epochs), "40", 0, 1e6, NULL, "epochs",
     "epochs in which the learning rate rises from 0", false},
};
const int fsfm_model_options_count = sizeof fsfm_model_options_table / sizeof *fsfm_model_options_table;

/* The sizes that differ between the presets; images have 224 pixels and representations 256 values in all. */
typedef struct {
    int patch_size, embed_dim, depth, num_heads;
    int decoder_embed_dim, decoder_depth, decoder_num_heads;
    int rep_decoder_depth, rep_decoder_num_heads, projection_hidden_size;
} preset_sizes;

static const preset_sizes presets[] = {
    [FSFM_VIT_T16] = {16, 192, 12, 3, 192, 4, 6, 2, 6, 1024},
    [FSFM_VIT_S16] = {16, 384, 12, 12, 512, 8, 16, 2, 16, 4096},
    [FSFM_VIT_B16] = {16, 768, 12, 12, 512, 8, 16, 2, 16, 4096},
    [FSFM_VIT_L16] = {16, 1024, 24, 16, 512, 8, 16, 2, 16, 4096},
    [FSFM_VIT_H14] = {14, 1280, 32, 16, 512, 8, 16, 2, 16, 4096},
};

const char *fsfm_model_preset_name(fsfm_preset preset)
{
    return preset_names[preset];
}

static void fill(int64_t *size, int64_t value)
{
    if (*size == FSFM_AUTO) *size = value;
}

static void fill_sizes(fsfm_model_options *options)
{
    const preset_sizes *preset = &presets[options->preset];
    fill(&options->img_size, 224);
    fill(&options->patch_size, preset->patch_size);
    fill(&options->embed_dim, preset->embed_dim);
    fill(&options->depth, preset->depth);
    fill(&options->num_heads, preset->num_heads);
    fill(&options->decoder_embed_dim, preset->decoder_embed_dim);
    fill(&options->decoder_depth, preset->decoder_depth);
    fill(&options->decoder_num_heads, preset->decoder_num_heads);
    fill(&options->rep_decoder_embed_dim, options->embed_dim); /* one mask token serves both */
    fill(&options->rep_decoder_depth, preset->rep_decoder_depth);
    fill(&options->rep_decoder_num_heads, preset->rep_decoder_num_heads);
    fill(&options->projection_size, 256);
    fill(&options->projection_hidden_size, preset->projection_hidden_size);
}

/* One of the three stacks of blocks. The key at fault is the one that was given, the heads where both were.
 */
typedef struct {
    const char *width_key, *heads_key;
    int64_t width, heads;
    bool heads_given;
} stack;

static fsfm_status check_stack(const stack *s, double mlp_ratio, const char **key, fsfm_error *err)
{
    const double hidden = (double)s->width * mlp_ratio;
    *key = s->width_key;
    if (s->width % 4 != 0)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "expected a multiple of 4 (sine-cosine positions), found %" PRId64, s->width);
    if (s->width % s->heads != 0) {
        if (s->heads_given) {
            *key = s->heads_key;
            return fsfm_fail(err, FSFM_ERR_ARG, "expected a divisor of %s (%" PRId64 "), found %" PRId64,
                             s->width_key, s->width, s->heads);
        }
        return fsfm_fail(err, FSFM_ERR_ARG, "expected a multiple of %s (%" PRId64 "), found %" PRId64,
                         s->heads_key, s->heads, s->width);
    }
    *key = "model.mlp_ratio";
    if (hidden != floor(hidden))
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "expected a ratio that gives a whole width, found %g x %s (%" PRId64 ") = %g",
                         mlp_ratio, s->width_key, s->width, hidden);
    return FSFM_OK;
}

fsfm_status fsfm_model_options_resolve(fsfm_model_options *options, const char **key, fsfm_error *err)
{
    const fsfm_model_options given = *options;
    fill_sizes(options);
    const fsfm_model_options *o = options;
    if (o->img_size % o->patch_size != 0) {
        const bool is_patch = given.patch_size != FSFM_AUTO;
        *key = is_patch ? "model.patch_size" : "model.img_size";
        return fsfm_fail(err, FSFM_ERR_ARG, "expected a %s (%" PRId64 "), found %" PRId64,
                         is_patch ? "divisor of model.img_size" : "multiple of model.patch_size",
                         is_patch ? o->img_size : o->patch_size, is_patch ? o->patch_size : o->img_size);
    }
    const stack stacks[] = {
        {"model.embed_dim", "model.num_heads", o->embed_dim, o->num_heads, given.num_heads != FSFM_AUTO},
        {"model.decoder_embed_dim", "model.decoder_num_heads", o->decoder_embed_dim, o->decoder_num_heads,
         given.decoder_num_heads != FSFM_AUTO},
        /* Its width is the encoder's, so a new encoder width is at fault with the heads' default. */
        {given.rep_decoder_embed_dim == FSFM_AUTO ? "model.embed_dim" : "model.rep_decoder_embed_dim",
         "model.rep_decoder_num_heads", o->rep_decoder_embed_dim, o->rep_decoder_num_heads,
         given.rep_decoder_num_heads != FSFM_AUTO},
    };
    const int used = o->id_loss != FSFM_ID_NONE && o->id_rep_decoder ? 3 : 2;
    for (int i = 0; i < used; i++) FSFM_TRY(check_stack(&stacks[i], o->mlp_ratio, key, err));
    if (used == 3 && o->rep_decoder_embed_dim != o->embed_dim) {
        *key = "model.rep_decoder_embed_dim";
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "expected the width of the encoder, model.embed_dim (%" PRId64
                         "), as one mask token serves both decoders; found %" PRId64,
                         o->embed_dim, o->rep_decoder_embed_dim);
    }
    *key = NULL;
    return FSFM_OK;
}
