/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/checkpoint.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/tensor_file.h"

static const char *const state_groups[FSFM_STATES] = {"online", "target", "adam_m", "adam_v"};

/* The whole numbers and reals of the counters, and where they lie. */
static const struct {
    const char *name;
    size_t offset;
} whole_numbers[] = {{"step", offsetof(fsfm_checkpoint_counters, step)},
                     {"samples", offsetof(fsfm_checkpoint_counters, samples)},
                     {"adam_t", offsetof(fsfm_checkpoint_counters, adam_t)},
                     {"bad_steps_in_a_row", offsetof(fsfm_checkpoint_counters, bad_in_row)},
                     {"bad_steps", offsetof(fsfm_checkpoint_counters, bad_steps)},
                     {"no_region_steps", offsetof(fsfm_checkpoint_counters, no_region_steps)},
                     {"eval_step", offsetof(fsfm_checkpoint_counters, eval_step)},
                     {"best_step", offsetof(fsfm_checkpoint_counters, best_step)},
                     {"seed", offsetof(fsfm_checkpoint_counters, seed)},
                     {"slices", offsetof(fsfm_checkpoint_counters, slices)}},
  reals[] = {{"best_loss", offsetof(fsfm_checkpoint_counters, best_loss)},
             {"mean_r", offsetof(fsfm_checkpoint_counters, mean[0])},
             {"mean_g", offsetof(fsfm_checkpoint_counters, mean[1])},
             {"mean_b", offsetof(fsfm_checkpoint_counters, mean[2])},
             {"std_r", offsetof(fsfm_checkpoint_counters, std[0])},
             {"std_g", offsetof(fsfm_checkpoint_counters, std[1])},
             {"std_b", offsetof(fsfm_checkpoint_counters, std[2])}};
enum {
    WHOLE_NUMBERS = sizeof whole_numbers / sizeof whole_numbers[0],
    REALS = sizeof reals / sizeof reals[0]
};

uint64_t fsfm_checkpoint_size_bytes(const fsfm_checkpoint *checkpoint)
{
    int64_t floats = 0;
    for (int s = 0; s < FSFM_STATES; s++) floats += checkpoint->floats[s];
    return (uint64_t)floats * sizeof(float) + (uint64_t)checkpoint->parameters->count * 4096 + (1u << 20);
}

/* Tensors that a state has: the target holds the trunk only. */
static int tensors_of(const fsfm_checkpoint *checkpoint, int state)
{
    if (!checkpoint->floats[state]) return 0;
    return state == FSFM_STATE_TARGET ? checkpoint->parameters->trunk_count : checkpoint->parameters->count;
}

static void tensor_name(char name[FSFM_TENSOR_NAME_SIZE], int state, const fsfm_parameter *parameter)
{
    snprintf(name, FSFM_TENSOR_NAME_SIZE, "%s/%s", state_groups[state], parameter->name);
}

static fsfm_status write_tensors(fsfm_tensor_writer *writer, const fsfm_checkpoint *checkpoint,
                                 fsfm_error *err)
{
    char name[FSFM_TENSOR_NAME_SIZE];
    for (int s = 0; s < FSFM_STATES; s++)
        for (int i = 0; i < tensors_of(checkpoint, s); i++) {
            const fsfm_parameter *parameter = &checkpoint->parameters->items[i];
            tensor_name(name, s, parameter);
            FSFM_TRY(fsfm_tensor_writer_add(writer, name, parameter->axes, parameter->shape,
                                            checkpoint->values[s] + parameter->offset, err));
        }
    return FSFM_OK;
}

static fsfm_status write_counters(fsfm_tensor_writer *writer, const fsfm_checkpoint *checkpoint,
                                  fsfm_error *err)
{
    const fsfm_checkpoint_counters *counters = &checkpoint->counters;
    const char *base = (const char *)counters;
    for (int i = 0; i < WHOLE_NUMBERS; i++) {
        int64_t value = 0;
        memcpy(&value, base + whole_numbers[i].offset, sizeof value);
        FSFM_TRY(fsfm_tensor_writer_int(writer, whole_numbers[i].name, value, err));
    }
    for (int i = 0; i < REALS; i++) {
        double value = 0;
        memcpy(&value, base + reals[i].offset, sizeof value);
        FSFM_TRY(fsfm_tensor_writer_real(writer, reals[i].name, value, err));
    }
    FSFM_TRY(fsfm_tensor_writer_text(writer, "dataset", counters->dataset, err));
    FSFM_TRY(fsfm_tensor_writer_text(writer, "revision", counters->revision, err));
    FSFM_TRY(fsfm_tensor_writer_text(writer, "bad_samples",
                                     checkpoint->bad_samples ? checkpoint->bad_samples : "", err));
    return fsfm_tensor_writer_text(writer, "config", checkpoint->config, err);
}

fsfm_status fsfm_checkpoint_write(const fsfm_checkpoint *checkpoint, const char *path, fsfm_error *err)
{
    fsfm_tensor_writer *writer = NULL;
    fsfm_status st = fsfm_tensor_writer_open(path, FSFM_CHECKPOINT_FORMAT, &writer, err);
    if (st != FSFM_OK) return st;
    st = write_tensors(writer, checkpoint, err);
    if (st == FSFM_OK) st = write_counters(writer, checkpoint, err);
    if (st == FSFM_OK) return fsfm_tensor_writer_finish(&writer, err);
    fsfm_tensor_writer_abandon(&writer);
    return st;
}

static fsfm_status read_text(fsfm_tensor_reader *reader, const char *name, char *out, size_t size_bytes,
                             fsfm_error *err)
{
    char *text = NULL;
    fsfm_status st = fsfm_tensor_reader_text(reader, name, &text, err);
    if (st == FSFM_OK && strlen(text) >= size_bytes)
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "'%s' has %zu bytes, expected fewer than %zu", name,
                       strlen(text), size_bytes);
    if (st == FSFM_OK) strcpy(out, text);
    free(text);
    return st;
}

static fsfm_status read_counters(fsfm_tensor_reader *reader, fsfm_checkpoint_counters *counters,
                                 fsfm_error *err)
{
    char *base = (char *)counters;
    for (int i = 0; i < WHOLE_NUMBERS; i++) {
        int64_t value = 0;
        FSFM_TRY(fsfm_tensor_reader_int(reader, whole_numbers[i].name, &value, err));
        memcpy(base + whole_numbers[i].offset, &value, sizeof value);
    }
    for (int i = 0; i < REALS; i++) {
        double value = 0;
        FSFM_TRY(fsfm_tensor_reader_real(reader, reals[i].name, &value, err));
        memcpy(base + reals[i].offset, &value, sizeof value);
    }
    FSFM_TRY(read_text(reader, "dataset", counters->dataset, sizeof counters->dataset, err));
    return read_text(reader, "revision", counters->revision, sizeof counters->revision, err);
}

static fsfm_status read_tensors(fsfm_tensor_reader *reader, fsfm_checkpoint *checkpoint, fsfm_error *err)
{
    char name[FSFM_TENSOR_NAME_SIZE];
    for (int s = 0; s < FSFM_STATES; s++) {
        if (checkpoint->floats[s])
            memset(checkpoint->values[s], 0, (size_t)checkpoint->floats[s] * sizeof(float));
        for (int i = 0; i < tensors_of(checkpoint, s); i++) {
            const fsfm_parameter *parameter = &checkpoint->parameters->items[i];
            tensor_name(name, s, parameter);
            FSFM_TRY(fsfm_tensor_reader_get(reader, name, parameter->count,
                                            checkpoint->values[s] + parameter->offset, err));
        }
    }
    return FSFM_OK;
}

fsfm_status fsfm_checkpoint_read(fsfm_checkpoint *checkpoint, const char *path,
                                 fsfm_checkpoint_accept_fn accept, void *context, bool *is_refused,
                                 fsfm_error *err)
{
    fsfm_tensor_reader *reader = NULL;
    fsfm_status st = FSFM_OK;
    *is_refused = false;
    checkpoint->bad_samples = checkpoint->config = NULL;
    if ((st = fsfm_tensor_reader_open(path, FSFM_CHECKPOINT_FORMAT, &reader, err)) != FSFM_OK) return st;
    st = read_counters(reader, &checkpoint->counters, err);
    if (st == FSFM_OK) st = fsfm_tensor_reader_text(reader, "config", &checkpoint->config, err);
    if (st == FSFM_OK) st = fsfm_tensor_reader_text(reader, "bad_samples", &checkpoint->bad_samples, err);
    if (st == FSFM_OK && accept) {
        st = accept(context, checkpoint->config, &checkpoint->counters, err);
        *is_refused = st != FSFM_OK;
    }
    if (st == FSFM_OK) st = read_tensors(reader, checkpoint, err);
    fsfm_tensor_reader_close(&reader);
    if (st != FSFM_OK) {
        free(checkpoint->bad_samples);
        free(checkpoint->config);
        checkpoint->bad_samples = checkpoint->config = NULL;
    }
    return st;
}

fsfm_status fsfm_checkpoint_read_online(const fsfm_parameters *parameters, const char *path, float *values,
                                        int *found, fsfm_error *err)
{
    fsfm_tensor_reader *reader = NULL;
    fsfm_status st = fsfm_tensor_reader_open(path, FSFM_CHECKPOINT_FORMAT, &reader, err);
    *found = 0;
    if (st != FSFM_OK) return st;
    for (int64_t i = 0; i < fsfm_tensor_reader_count(reader) && st == FSFM_OK; i++) {
        const char *name = fsfm_tensor_reader_info(reader, i)->name;
        const char *bare = strncmp(name, "online/", 7) == 0 ? name + 7 : name;
        const int at = fsfm_parameters_find(parameters, bare);
        if (at < 0) continue;
        st = fsfm_tensor_reader_get(reader, name, parameters->items[at].count,
                                    values + parameters->items[at].offset, err);
        ++*found;
    }
    if (st == FSFM_OK && *found == 0)
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "%s: holds none of the model's %d tensors", path,
                       parameters->count);
    fsfm_tensor_reader_close(&reader);
    return st;
}
