/* SPDX-License-Identifier: Apache-2.0
 * core/device/operations.h - the operations of a device, listed once: device.h makes its table of them, each
 * backend fills it by them, cost.c says what they cost, profile.c and counter.c tell of them. An operation
 * without a struct of arguments, or one that one of these lacks, does not compile. X is a macro of an
 * operation's name. */
#ifndef FSFM_CORE_DEVICE_OPERATIONS_H
#define FSFM_CORE_DEVICE_OPERATIONS_H

/* Those whose arguments are a struct, fsfm_NAME_args: linear layers, which backends may hand to a library, */
#define FSFM_LINEAR_OPERATIONS(X) \
    X(linear)                     \
    X(linear_backward)

/* and the others. */
#define FSFM_OTHER_OPERATIONS(X) \
    X(layernorm)                 \
    X(layernorm_backward)        \
    X(attention)                 \
    X(attention_backward)        \
    X(patches)                   \
    X(embed)                     \
    X(embed_backward)            \
    X(unshuffle)                 \
    X(unshuffle_backward)        \
    X(pick)                      \
    X(pick_backward)             \
    X(mean)                      \
    X(mean_backward)             \
    X(normalize)                 \
    X(normalize_backward)        \
    X(dot_loss)                  \
    X(infonce)                   \
    X(patch_loss)                \
    X(adamw)

#define FSFM_OPERATIONS(X) FSFM_LINEAR_OPERATIONS(X) FSFM_OTHER_OPERATIONS(X)

/* Those on count numbers from x to y, X(NAME, type of x, type of y):
 * to_act        y = x, rounded
 * matrix_rest   y = what rounding took from a matrix's elements, itself rounded; in fp32 zeros
 * add_act       y += x
 * add           y += x
 * norm_squared  *y = sum of x[i]^2 in double, in an order fixed by count */
#define FSFM_VECTOR_OPERATIONS(X)  \
    X(to_act, float, fsfm_act)     \
    X(matrix_rest, void, fsfm_act) \
    X(add_act, fsfm_act, float)    \
    X(add, float, float)           \
    X(norm_squared, float, double)

/* And those that move memory, whose arguments are each their own. */
#define FSFM_MOVES(X) \
    X(upload)         \
    X(download)       \
    X(start_read)     \
    X(finish_read)    \
    X(copy)           \
    X(zero)           \
    X(set_matrix)     \
    X(get_matrix)

#endif
