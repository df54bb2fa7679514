/* SPDX-License-Identifier: Apache-2.0
 * core/model/roofline.h - how long a step's work takes by the rates that a device reaches: a model, not a
 * measurement. A piece takes the longer of its FLOP and of its bytes. */
#ifndef FSFM_CORE_MODEL_ROOFLINE_H
#define FSFM_CORE_MODEL_ROOFLINE_H

#include "core/model/work.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a device reaches, a second; not its peaks. */
typedef struct {
    double product_flop, attention_flop;
    double whole_flop;      /* of products in fp32; in fp32 the same as product_flop */
    double bytes;           /* of products and attention */
    double rows_bytes;      /* of norms, GELU, sums, tokens, losses */
    double optimizer_bytes; /* of zeroes, clipping, AdamW, EMA */
} fsfm_rates;

typedef struct {
    double products_s, attention_s, rows_s;
} fsfm_work_time;

/* Of one micro-batch, and of what comes once a step. */
typedef struct {
    fsfm_work_time part[FSFM_PARTS];
    double forward_s, backward_s, target_s; /* of the online network, and of the target */
    double encoder_backward_s;              /* the last part of backward */
    double total_s;                         /* of the micro-batch */
    double optimizer_s;
} fsfm_roofline;

fsfm_roofline fsfm_roofline_time(const fsfm_work_list *list, const fsfm_rates *rates);

/* One product of a micro-batch: count times the same shape in one part under one name. */
typedef struct {
    fsfm_part part;
    fsfm_pass pass;
    const char *name; /* the list's */
    fsfm_product_shape shape;
    int64_t count;
    double seconds; /* of all of them */
    bool is_bound_by_bytes;
} fsfm_product_time;
enum { FSFM_PRODUCTS_MAX = 192 };
/* In the order of the list; returns how many. */
int fsfm_roofline_products(const fsfm_work_list *list, const fsfm_rates *rates,
                           fsfm_product_time out[FSFM_PRODUCTS_MAX]);

/* Kernels of one name in one part and direction. */
typedef struct {
    fsfm_part part;
    bool is_backward;
    const char *name; /* the list's */
    double ratio; /* the largest of them: its time, of the longer of its bytes and of its FLOP by bounds */
} fsfm_slow_work;
enum { FSFM_SLOW_MAX = 32 };
/* Those whose ratio is over most; returns how many. What is computed again does not excuse a kernel. */
int fsfm_roofline_slow(const fsfm_work_list *list, const fsfm_rates *rates, const fsfm_rates *bounds,
                       double most, fsfm_slow_work out[FSFM_SLOW_MAX]);

/* What the rates divide: with it, a measured time gives a rate. Of one micro-batch; optimizer_bytes of a
 * step. */
typedef struct {
    double product_flop, attention_flop, rows_bytes, optimizer_bytes;
} fsfm_work_sums;
fsfm_work_sums fsfm_roofline_sums(const fsfm_work_list *list);

#ifdef __cplusplus
}
#endif
#endif
