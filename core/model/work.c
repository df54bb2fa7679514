/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/work.h"

#include <stdlib.h>
#include <string.h>

#include "core/device/counter.h"
#include "core/model/learner_internal.h"

/* Attention that keeps no scores computes some again in backward: 7 products where the gradients are 4. */
#define ATTENTION_BACKWARD (7.0 / 4.0)

/* Where a step is. What it is about shows by the weights that operations are given: those without any belong
 * to what came before, but for patches, which every encoder begins with. Of the mask token only the pixel
 * decoder makes more than copies. */
typedef struct {
    fsfm_work_list *list;
    const fsfm_learner *learner; /* NULL: it is not open yet, and nothing is kept */
    const fsfm_device *dev;      /* the counter's */
    int64_t room;
    bool is_full; /* there was no memory for a piece */
    bool is_target;
    fsfm_part part;
    bool is_backward;  /* of part, since it was entered */
    const char *split; /* the matrix whose rest was asked for last: what it is multiplied with comes next */
} recording;

const char *fsfm_part_name(fsfm_part part)
{
    static const char *const names[FSFM_PARTS + 1] = {"encoder", "rep_decoder", "pixel_decoder",
                                                      "heads",   "target",      "optimizer"};
    return names[part];
}

static void add(recording *r, fsfm_work work)
{
    fsfm_work_list *list = r->list;
    if (list->count == r->room) {
        const int64_t room = r->room > 0 ? 2 * r->room : 1024;
        fsfm_work *more = realloc(list->items, (size_t)room * sizeof *more);
        if (!more) {
            r->is_full = true;
            return;
        }
        list->items = more;
        r->room = room;
    }
    work.part = r->part;
    list->items[list->count++] = work;
}

static fsfm_pass pass_of(const recording *r)
{
    return r->is_backward ? FSFM_PASS_AGAIN : FSFM_PASS_FORWARD;
}

static void enter(recording *r, fsfm_part part)
{
    if (r->is_target && part != FSFM_PART_OPTIMIZER) part = FSFM_PART_TARGET;
    if (part != r->part) r->is_backward = false;
    r->part = part;
}

static bool begins_with(const char *name, const char *word)
{
    return strncmp(name, word, strlen(word)) == 0;
}

static fsfm_part part_of(const char *name)
{
    if (begins_with(name, "rep_decoder")) return FSFM_PART_REP_DECODER;
    if (begins_with(name, "decoder") || begins_with(name, "mask_token")) return FSFM_PART_PIXEL_DECODER;
    if (begins_with(name, "projector") || begins_with(name, "predictor")) return FSFM_PART_HEADS;
    return FSFM_PART_ENCODER;
}

/* The name of the tensor that weight lies in; NULL: in none. The target's array is that of the trunk. */
static const char *find_name(const recording *r, const void *weight)
{
    const char *at = weight;
    const fsfm_parameters *names = &r->list->names;
    for (int state = FSFM_STATE_ONLINE; state <= FSFM_STATE_TARGET; state++) {
        const char *base = r->learner->state[state];
        const int count = state == FSFM_STATE_ONLINE ? names->count : names->trunk_count;
        if (!base || at < base) continue;
        const int64_t place = (at - base) / (int64_t)sizeof(float);
        for (int i = 0; i < count; i++)
            if (place >= names->items[i].offset && place < names->items[i].offset + names->items[i].count)
                return names->items[i].name;
    }
    return NULL;
}

/* Goes where weight belongs, and gives its name. */
static const char *follow(recording *r, const void *weight)
{
    const char *name = find_name(r, weight);
    if (!name) name = r->split;
    FSFM_ASSERT(name);
    enter(r, part_of(name));
    return name;
}

/* Behind the number of the block. */
static const char *short_name(const char *name)
{
    const char *number = strpbrk(name, "0123456789");
    return strstr(name, "blocks.") && number ? strchr(number, '.') + 1 : name;
}

static double real(int64_t n)
{
    return (double)n;
}

/* out_bytes: of an element of the result; crossings: how often it is read or written. */
static void add_product(recording *r, const fsfm_counted *c, const char *name, fsfm_pass pass,
                        fsfm_product_shape s, double out_bytes, double crossings)
{
    const double act_bytes = c->is_whole ? sizeof(float) : (double)r->dev->act_bytes;
    const double flop = 2.0 * real(s.M) * real(s.N) * real(s.K);
    const double in = real(s.M) * real(s.K) + real(s.K) * real(s.N), out = real(s.M) * real(s.N);
    add(r, (fsfm_work){.kind = FSFM_WORK_PRODUCT,
                       .pass = pass,
                       .name = short_name(name),
                       .shape = s,
                       .is_whole = c->is_whole,
                       .flop = flop,
                       .computed_flop = flop,
                       .bytes = act_bytes * in + out_bytes * crossings * out});
}

static void add_rows(recording *r, const fsfm_counted *c, const char *name, fsfm_pass pass, double bytes)
{
    add(r, (fsfm_work){
               .kind = FSFM_WORK_ROWS, .pass = pass, .name = name, .is_whole = c->is_whole, .bytes = bytes});
}

static double act_bytes_of(const recording *r, const fsfm_counted *c)
{
    return c->is_whole ? sizeof(float) : (double)r->dev->act_bytes;
}

/* GELU is a kernel of its own behind the product. */
static void add_linear(recording *r, const fsfm_counted *c)
{
    const fsfm_linear_args *a = c->args;
    const char *name = follow(r, a->weight);
    const double act_bytes = act_bytes_of(r, c);
    add_product(r, c, name, pass_of(r), (fsfm_product_shape){a->N, a->Cout, a->Cin, false, true},
                a->out_is_float ? sizeof(float) : act_bytes, a->residual ? 2.0 : 1.0);
    if (a->active) add_rows(r, c, "gelu", pass_of(r), 2.0 * act_bytes * real(a->N) * real(a->Cout));
}

/* Three kernels around two products: the gradient of GELU, which may write its result again, and sums down
 * the columns for the bias. Gradients of weights are added to. */
static void add_linear_backward(recording *r, const fsfm_counted *c)
{
    const fsfm_linear_backward_args *a = c->args;
    const char *name = follow(r, a->weight);
    const double act_bytes = act_bytes_of(r, c), in = real(a->N) * real(a->Cin);
    r->is_backward = true;
    if (a->dx)
        add_product(r, c, name, FSFM_PASS_DX, (fsfm_product_shape){a->N, a->Cin, a->Cout, false, false},
                    act_bytes, a->dx_adds ? 2.0 : 1.0);
    if (a->dx && a->hidden) add_rows(r, c, "gelu_backward", FSFM_PASS_DX, 3.0 * act_bytes * in);
    if (a->dx && a->active) add_rows(r, c, "gelu", FSFM_PASS_AGAIN, act_bytes * in);
    if (a->dweight)
        add_product(r, c, name, FSFM_PASS_DW, (fsfm_product_shape){a->Cout, a->Cin, a->N, true, false},
                    sizeof(float), 2.0);
    if (a->dbias && !a->dweight) /* else they come along with the product */
        add_rows(r, c, "column_sums", FSFM_PASS_DX, act_bytes * real(a->N) * real(a->Cout));
}

static void add_attention(recording *r, const fsfm_counted *c)
{
    const bool is_backward = c->op == FSFM_OP_attention_backward;
    r->is_backward |= is_backward;
    add(r, (fsfm_work){.kind = FSFM_WORK_ATTENTION,
                       .pass = is_backward ? FSFM_PASS_DX : pass_of(r),
                       .name = "attention",
                       .is_whole = c->is_whole,
                       .flop = c->cost.flop,
                       .computed_flop = c->cost.flop * (is_backward ? ATTENTION_BACKWARD : 1.0),
                       .bytes = c->cost.bytes});
}

/* What crosses to the host or from it is not the compute queue's. */
static bool is_passing(fsfm_op op)
{
    return op == FSFM_OP_upload || op == FSFM_OP_download || op == FSFM_OP_start_read ||
           op == FSFM_OP_finish_read;
}

static bool is_backward_op(fsfm_op op)
{
    return op == FSFM_OP_layernorm_backward || op == FSFM_OP_embed_backward ||
           op == FSFM_OP_unshuffle_backward || op == FSFM_OP_pick_backward || op == FSFM_OP_mean_backward ||
           op == FSFM_OP_normalize_backward;
}

static void add_others(recording *r, const fsfm_counted *c)
{
    if (c->op == FSFM_OP_layernorm) follow(r, ((const fsfm_layernorm_args *)c->args)->weight);
    if (c->op == FSFM_OP_layernorm_backward)
        follow(r, ((const fsfm_layernorm_backward_args *)c->args)->weight);
    if (c->op == FSFM_OP_matrix_rest) r->split = follow(r, c->args);
    if (c->op == FSFM_OP_to_act && find_name(r, c->args)) follow(r, c->args);
    if (c->op == FSFM_OP_patches) enter(r, FSFM_PART_ENCODER);
    if (c->op == FSFM_OP_norm_squared || c->op == FSFM_OP_adamw) enter(r, FSFM_PART_OPTIMIZER);
    r->is_backward |= is_backward_op(c->op);
    add_rows(r, c, fsfm_op_name(c->op), is_backward_op(c->op) ? FSFM_PASS_DX : pass_of(r), c->cost.bytes);
}

static void record(void *context, const fsfm_counted *counted)
{
    recording *r = context;
    if (!r->learner || is_passing(counted->op)) return;
    switch (counted->op) {
    case FSFM_OP_linear: add_linear(r, counted); break;
    case FSFM_OP_linear_backward: add_linear_backward(r, counted); break;
    case FSFM_OP_attention:
    case FSFM_OP_attention_backward: add_attention(r, counted); break;
    default: add_others(r, counted); break;
    }
}

static fsfm_status run_step(recording *r, fsfm_learner *learner, const fsfm_learner_input *input,
                            const fsfm_learner_totals *totals, fsfm_error *err)
{
    fsfm_learner_results results;
    const fsfm_learner_update update = {.norm_squared = 1.0, .adam_t = 1};
    r->learner = learner;
    FSFM_TRY(fsfm_learner_begin_step(learner, err));
    FSFM_TRY(fsfm_learner_bring(learner, input, err));
    r->is_target = true;
    if (fsfm_learner_has_target(learner)) FSFM_TRY(fsfm_learner_target(learner, 0, err));
    r->is_target = false;
    FSFM_TRY(fsfm_learner_online(learner, 0, totals, NULL, NULL, err));
    FSFM_TRY(fsfm_learner_start_read(learner, err));
    FSFM_TRY(fsfm_learner_finish_read(learner, &results, NULL, err));
    return fsfm_learner_finish_step(learner, &update, err);
}

/* Images whose first patches are kept. Nobody looks at what is in them. */
static fsfm_status imagine_step(recording *r, fsfm_learner *learner, const fsfm_work_setup *setup,
                                fsfm_error *err)
{
    const int64_t L = learner->L, masked = L - setup->kept;
    uint8_t *mask = calloc((size_t)(setup->B * L), 1);
    if (!mask)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the masks of %lld images", (long long)setup->B);
    for (int64_t b = 0; b < setup->B; b++) memset(mask + b * L + setup->kept, 1, (size_t)masked);
    const bool is_masked = setup->options->target_view == FSFM_TARGET_MASKED;
    const fsfm_learner_input input = {.B = setup->B,
                                      .images_u8 = mask,
                                      .mask = mask,
                                      .region = mask,
                                      .target_mask = is_masked ? mask : NULL};
    const fsfm_learner_totals totals = {setup->B, setup->B * masked, setup->B * masked};
    const fsfm_status st = run_step(r, learner, &input, &totals, err);
    free(mask);
    return st;
}

/* "blocks.0.attn.qkv.weight" is called "attn.qkv" in the end. */
static fsfm_status list_names(const fsfm_model_options *options, fsfm_parameters *out, fsfm_error *err)
{
    FSFM_TRY(fsfm_parameters_list(options, out, err));
    for (int i = 0; i < out->count; i++) {
        char *end = strstr(out->items[i].name, ".weight");
        if (end) *end = '\0';
    }
    return FSFM_OK;
}

fsfm_status fsfm_work_list_make(const fsfm_work_setup *setup, fsfm_work_list *out, fsfm_error *err)
{
    fsfm_counter counter;
    recording r = {.list = out, .part = FSFM_PART_OPTIMIZER};
    fsfm_learner *learner = NULL;
    const fsfm_learner_setup like = {.options = setup->options,
                                     .micro_batch = setup->B,
                                     .kept = setup->kept,
                                     .global_batch = setup->B,
                                     .local_batch = setup->B,
                                     .plain = setup->plain,
                                     .recompute = setup->recompute,
                                     .records = FSFM_RECORDS_OFF,
                                     .std = {1, 1, 1}};
    *out = (fsfm_work_list){.B = setup->B};
    fsfm_counter_init(&counter, setup->precision, 0, record, &r);
    r.dev = fsfm_counter_device(&counter);
    FSFM_TRY(list_names(setup->options, &out->names, err));
    FSFM_TRY(fsfm_learner_open(fsfm_counter_device(&counter), &like, &learner, err));
    fsfm_status st = imagine_step(&r, learner, setup, err);
    if (st == FSFM_OK && r.is_full)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the pieces of a step");
    r.learner = NULL;
    fsfm_learner_close(&learner);
    return st;
}

void fsfm_work_list_free(fsfm_work_list *list)
{
    free(list->items);
    fsfm_parameters_free(&list->names);
    *list = (fsfm_work_list){.items = NULL};
}
