/* SPDX-License-Identifier: Apache-2.0
 * core/device/cost.h - what an operation costs by its arguments: FLOP and bytes, whatever the device. */
#ifndef FSFM_CORE_DEVICE_COST_H
#define FSFM_CORE_DEVICE_COST_H

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FSFM_NUMBER(op) FSFM_OP_##op,
#define FSFM_VECTOR_NUMBER(op, x_type, y_type) FSFM_OP_##op,
typedef enum {
    FSFM_OPERATIONS(FSFM_NUMBER) FSFM_MOVES(FSFM_NUMBER) FSFM_VECTOR_OPERATIONS(FSFM_VECTOR_NUMBER) FSFM_OPS
} fsfm_op;
#undef FSFM_VECTOR_NUMBER
#undef FSFM_NUMBER
const char *fsfm_op_name(fsfm_op op); /* as in the table: "linear_backward" */

typedef struct {
    double flop;  /* of its matrix products (an attention's backward counts twice its forward); else 0 */
    double bytes; /* of its arrays, each read or written once */
} fsfm_cost;

/* dev: in whose precision. */
#define FSFM_COST(op) fsfm_cost fsfm_cost_##op(const fsfm_device *dev, const fsfm_##op##_args *args);
FSFM_OPERATIONS(FSFM_COST)
#undef FSFM_COST
#define FSFM_VECTOR_COST(op, x_type, y_type) fsfm_cost fsfm_cost_##op(const fsfm_device *dev, int64_t count);
FSFM_VECTOR_OPERATIONS(FSFM_VECTOR_COST)
#undef FSFM_VECTOR_COST

#ifdef __cplusplus
}
#endif
#endif
