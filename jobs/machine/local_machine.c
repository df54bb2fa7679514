/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/machine/local_machine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "jobs/machine/machine_yaml.h"
#include "jobs/settings/configs_find.h"

#define ANY_ROW(kind, member, is_optional)                                           \
    {                                                                                \
#member, FSFM_MACHINE_##kind, offsetof(fsfm_local_step, member), is_optional \
    }
#define ROW(kind, member) ANY_ROW(kind, member, false)
#define OPTIONAL_ROW(kind, member) ANY_ROW(kind, member, true)

static const fsfm_machine_key step_keys[] = {
    ROW(TEXT, preset),           ROW(TEXT, precision),        ROW(TEXT, device),
    ROW(WHOLE, ranks),           ROW(WHOLE, threads),         ROW(WHOLE, micro_batch),
    ROW(REAL, gflop_per_image),  ROW(REAL, gemm_peak_gflops), ROW(REAL, gemm_gflops),
    ROW(REAL, memory_peak_gb_s), ROW(REAL, attention_gflops), ROW(REAL, rows_gb_s),
    ROW(REAL, optimizer_gb_s),   ROW(SHARE, other_share),     OPTIONAL_ROW(REAL, sum_gb_s),
};
static const fsfm_machine_key machine_keys[] = {
    {"checkpoint_mb_s", FSFM_MACHINE_REAL, offsetof(fsfm_local_machine, checkpoint_mb_s), true},
    {"steps", FSFM_MACHINE_ENTRIES, 0, true},
};
enum {
    STEP_KEYS = sizeof step_keys / sizeof *step_keys,
    MACHINE_KEYS = sizeof machine_keys / sizeof *machine_keys
};

const char *fsfm_precision_name(fsfm_precision precision)
{
    return precision == FSFM_PRECISION_BF16 ? "bf16" : "fp32";
}

static fsfm_status read_steps(const fsfm_yaml_node *list, fsfm_local_machine *out, fsfm_error *err)
{
    if (list->count > FSFM_LOCAL_STEPS_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: steps: expected at most %d, found %d", out->path,
                         list->line, list->column, FSFM_LOCAL_STEPS_MAX, list->count);
    for (int i = 0; i < list->count; i++)
        FSFM_TRY(
            fsfm_machine_map_read(out->path, list->values[i], step_keys, STEP_KEYS, &out->steps[i], err));
    out->count = list->count;
    return FSFM_OK;
}

fsfm_status fsfm_local_machine_read(const char *path, fsfm_local_machine *out, fsfm_error *err)
{
    fsfm_yaml *yaml = NULL;
    memset(out, 0, sizeof *out);
    if (path)
        snprintf(out->path, sizeof out->path, "%s", path);
    else
        FSFM_TRY(fsfm_configs_path("machines", "local", out->path, sizeof out->path, err));
    if (!fsfm_file_exists(out->path)) return FSFM_OK;
    if (fsfm_yaml_read(out->path, &yaml, err) != FSFM_OK) {
        err->status = FSFM_ERR_ARG;
        return FSFM_ERR_ARG;
    }
    const fsfm_yaml_node *root = fsfm_yaml_root(yaml), *list = fsfm_yaml_get(root, "steps");
    fsfm_status st = fsfm_machine_map_read(out->path, root, machine_keys, MACHINE_KEYS, out, err);
    if (st == FSFM_OK && list) st = read_steps(list, out, err);
    out->is_there = st == FSFM_OK;
    fsfm_yaml_free(&yaml);
    return st;
}

void fsfm_local_machine_put(fsfm_local_machine *machine, const fsfm_local_step *step)
{
    int at = 0;
    for (; at < machine->count; at++) {
        const fsfm_local_step *old = &machine->steps[at];
        if (strcmp(old->preset, step->preset) == 0 && strcmp(old->precision, step->precision) == 0 &&
            old->ranks == step->ranks && old->threads == step->threads)
            break;
    }
    if (at == machine->count && machine->count < FSFM_LOCAL_STEPS_MAX) machine->count++;
    if (at == FSFM_LOCAL_STEPS_MAX) at = 0;
    /* The newest is the last. */
    memmove(&machine->steps[at], &machine->steps[at + 1],
            (size_t)(machine->count - at - 1) * sizeof *machine->steps);
    machine->steps[machine->count - 1] = *step;
}

static void print_step(FILE *file, const fsfm_local_step *step)
{
    char quoted[256];
    for (int k = 0; k < STEP_KEYS; k++) {
        const char *member = (const char *)step + step_keys[k].offset;
        double value = 0;
        if (step_keys[k].kind != FSFM_MACHINE_TEXT) memcpy(&value, member, sizeof value);
        if (step_keys[k].is_optional && value == 0) continue;
        fprintf(file, "%s%s: ", k == 0 ? "  - " : "    ", step_keys[k].name);
        if (step_keys[k].kind == FSFM_MACHINE_TEXT) {
            fprintf(file, "%s\n", fsfm_yaml_quote(member, quoted, sizeof quoted));
        } else {
            fprintf(file, "%.6g\n", value);
        }
    }
}

fsfm_status fsfm_local_machine_write(const fsfm_local_machine *machine, fsfm_error *err)
{
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *file = open_memstream(&text, &size_bytes);
    if (!file) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a text");
    fprintf(file,
            "# What this machine was seen to reach, by rank; written by `fsfm bench step --write-machine`\n"
            "# for `fsfm plan`. Measure again where the program or the machine has changed.\n");
    if (machine->checkpoint_mb_s > 0) fprintf(file, "checkpoint_mb_s: %.6g\n", machine->checkpoint_mb_s);
    if (machine->count > 0) fprintf(file, "steps:\n");
    for (int i = 0; i < machine->count; i++) print_step(file, &machine->steps[i]);
    const bool is_whole = fclose(file) == 0;
    fsfm_status st = is_whole ? fsfm_file_write(machine->path, text, size_bytes, err)
                              : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a text");
    free(text);
    return st;
}

const fsfm_local_step *fsfm_local_machine_choose(const fsfm_local_machine *machine, fsfm_precision precision,
                                                 double ranks, double threads, double gflop_per_image)
{
    const fsfm_local_step *best = NULL;
    double least_processors = INFINITY, least_flop = INFINITY;
    for (int i = 0; i < machine->count; i++) {
        const fsfm_local_step *step = &machine->steps[i];
        const double processors =
            fabs(log(step->ranks * step->threads / (ranks * threads))) + 0.1 * fabs(log(step->ranks / ranks));
        const double flop = fabs(log(step->gflop_per_image / gflop_per_image));
        if (strcmp(step->precision, fsfm_precision_name(precision)) != 0) continue;
        if (processors > least_processors || (processors == least_processors && flop > least_flop)) continue;
        best = step;
        least_processors = processors;
        least_flop = flop;
    }
    return best;
}

const fsfm_local_step *fsfm_local_machine_choose_sum(const fsfm_local_machine *machine, double ranks)
{
    const fsfm_local_step *best = NULL;
    for (int i = 0; i < machine->count; i++) {
        const fsfm_local_step *step = &machine->steps[i];
        if (step->sum_gb_s > 0 && (!best || fabs(log(step->ranks / ranks)) <= fabs(log(best->ranks / ranks))))
            best = step;
    }
    return best;
}

fsfm_rates fsfm_local_step_rates(const fsfm_local_step *step, double threads)
{
    const double scale = 1e9 * threads / step->threads;
    return (fsfm_rates){
        .product_flop = scale * step->gemm_gflops,
        .whole_flop = scale * step->gemm_gflops, /* it has those in fp32 in it */
        .attention_flop = scale * step->attention_gflops,
        .bytes = INFINITY, /* the rates that were reached have it in them */
        .rows_bytes = scale * step->rows_gb_s,
        .optimizer_bytes = scale * step->optimizer_gb_s,
    };
}
