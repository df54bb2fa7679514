/* SPDX-License-Identifier: Apache-2.0
 * jobs/synth/canvas.h - closed shapes painted onto a square picture and its label map.
 *
 * Coordinates are in units of the picture's side: (0, 0) is its upper left, (1, 1) its lower right corner, so
 * that a drawing does not depend on the size in pixels. Colours are 0 .. 1 as displayed. */
#ifndef FSFM_JOBS_SYNTH_CANVAS_H
#define FSFM_JOBS_SYNTH_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

enum {
    SYNTH_PATH_MAX = 640,
    SYNTH_LABEL_KEEP = -1,   /* paints without changing labels */
    SYNTH_LABEL_GLASSES = -2 /* over the face, features become skin; elsewhere labels stay */
};

typedef struct {
    float x, y;
} fsfm_synth_point;

typedef struct {
    float r, g, b;
} fsfm_synth_colour;

/* A closed polygon; several contours may follow each other, ended by end[]. Inside is where the winding is
 * not 0. */
typedef struct {
    int count, contours;
    int end[4];
    fsfm_synth_point point[SYNTH_PATH_MAX];
} fsfm_synth_path;

typedef struct {
    int size;
    float *rgb;     /* (size, size, 3) */
    uint8_t *label; /* (size, size) */
    float *cover;   /* (size + 2), of the row being filled */
} fsfm_synth_canvas;

typedef struct {
    fsfm_synth_colour colour;
    float alpha; /* 0 .. 1, times the share of the pixel that the shape covers */
} fsfm_synth_ink;
typedef fsfm_synth_ink (*fsfm_synth_shader)(const void *context, float x, float y);

FSFM_MUST_USE
fsfm_status fsfm_synth_canvas_create(int size, fsfm_synth_canvas *out, fsfm_error *err);
void fsfm_synth_canvas_free(fsfm_synth_canvas *canvas);

void fsfm_synth_path_clear(fsfm_synth_path *path);
void fsfm_synth_path_add(fsfm_synth_path *path,
                         fsfm_synth_point point); /* beyond SYNTH_PATH_MAX points are left out */
void fsfm_synth_path_end(fsfm_synth_path *path);  /* ends a contour */
/* A smooth closed contour through the knots (Catmull and Rom). */
void fsfm_synth_path_smooth(fsfm_synth_path *path, const fsfm_synth_point *knots, int count);
void fsfm_synth_path_ellipse(fsfm_synth_path *path, fsfm_synth_point centre, float rx, float ry, float angle,
                             int is_hole);
/* A line through the knots, smoothed, width[i] wide at knot i. */
void fsfm_synth_path_stroke(fsfm_synth_path *path, const fsfm_synth_point *knots, const float *widths,
                            int count);

/* Paints the path. A pixel takes the label if the path covers at least half of it. */
void fsfm_synth_fill(fsfm_synth_canvas *canvas, const fsfm_synth_path *path, int label,
                     fsfm_synth_shader shader, const void *context);
void fsfm_synth_fill_plain(fsfm_synth_canvas *canvas, const fsfm_synth_path *path, int label,
                           fsfm_synth_colour colour, float alpha);
/* Paints every pixel; labels stay. */
void fsfm_synth_fill_all(fsfm_synth_canvas *canvas, fsfm_synth_shader shader, const void *context);

fsfm_synth_colour fsfm_synth_mix(fsfm_synth_colour a, fsfm_synth_colour b, float share_of_b);
fsfm_synth_colour fsfm_synth_scale(fsfm_synth_colour a, float factor);
float fsfm_synth_clamp(float value, float low, float high);
float fsfm_synth_step(float low, float high, float value); /* smooth from 0 to 1 */
/* Smooth noise, mean 0, within about -1 .. 1; and octaves of it. */
float fsfm_synth_noise(uint32_t seed, float x, float y);
float fsfm_synth_clouds(uint32_t seed, float x, float y, int octaves);
uint32_t fsfm_synth_hash(uint32_t seed, uint32_t x, uint32_t y);
#endif
