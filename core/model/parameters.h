/* SPDX-License-Identifier: Apache-2.0
 * core/model/parameters.h - the trained tensors: published names and shapes, and where each lies in one flat
 * array.
 *
 * The tensors of the trunk (what online and target network share: encoder, mask token, rep decoder,
 * projector) come first, so that the target's array has the layout of the beginning of the online one.
 * Tensors start at multiples of 64 floats; the floats between them are zero in every array (parameters,
 * gradients, moments) and stay so. */
#ifndef FSFM_CORE_MODEL_PARAMETERS_H
#define FSFM_CORE_MODEL_PARAMETERS_H

#include "core/base/status.h"
#include "core/model/model_options.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FSFM_PARAMETER_NAME_SIZE = 64, FSFM_PARAMETER_AXES_MAX = 4 };

typedef enum { FSFM_INIT_XAVIER, FSFM_INIT_ZERO, FSFM_INIT_ONE, FSFM_INIT_TOKEN } fsfm_init;

typedef struct {
    char name[FSFM_PARAMETER_NAME_SIZE]; /* "blocks.0.attn.qkv.weight" */
    int axes;
    int64_t shape[FSFM_PARAMETER_AXES_MAX];
    int64_t offset, count; /* in floats */
    bool is_matrix;  /* of weights, in the device's precision (device.h); else floats: vectors, tokens, and
                        matrices of what is computed in fp32 (head.h) */
    bool is_decayed; /* more than one axis */
    bool is_trunk;
    fsfm_init init;
} fsfm_parameter;

typedef struct {
    fsfm_parameter *items;
    int count;
    int trunk_count;        /* items[0, trunk_count) are the trunk */
    int64_t trunk_floats;   /* length of the target's array */
    int64_t total_floats;   /* length of the online array, padding included */
    int64_t trunk_elements; /* the same without padding */
    int64_t total_elements;
} fsfm_parameters;

/* The tensors of resolved options. The caller owns the list and ends it with fsfm_parameters_free(). */
FSFM_MUST_USE
fsfm_status fsfm_parameters_list(const fsfm_model_options *options, fsfm_parameters *out, fsfm_error *err);
void fsfm_parameters_free(fsfm_parameters *parameters);
/* Index by name, or -1. */
int fsfm_parameters_find(const fsfm_parameters *parameters, const char *name);
/* Fills values_host (total_floats) as published: Xavier-uniform matrices and patch embedding, zero biases,
 * norms 1 and 0, tokens N(0, 0.02); keyed by seed and name, so that a tensor's start does not depend on the
 * others. */
void fsfm_parameters_init(const fsfm_parameters *parameters, uint64_t seed, float *values_host);

#ifdef __cplusplus
}
#endif
#endif
