/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/synth/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 4, CROSSINGS_MAX = 64 }; /* sampled lines in a row of pixels; across, coverage is exact */

typedef struct {
    float x;
    int turn; /* +1 or -1 */
} crossing;

fsfm_status fsfm_synth_canvas_create(int size, fsfm_synth_canvas *out, fsfm_error *err)
{
    const size_t pixels = (size_t)size * (size_t)size;
    *out = (fsfm_synth_canvas){.size = size};
    out->rgb = calloc(pixels * 3, sizeof *out->rgb);
    out->label = calloc(pixels, 1);
    out->cover = calloc((size_t)size + 2, sizeof *out->cover);
    if (out->rgb && out->label && out->cover) return FSFM_OK;
    fsfm_synth_canvas_free(out);
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to draw a face of %d pixels", size);
}

void fsfm_synth_canvas_free(fsfm_synth_canvas *canvas)
{
    free(canvas->cover);
    free(canvas->label);
    free(canvas->rgb);
    memset(canvas, 0, sizeof *canvas);
}

/* Crossings of the line y with the edges of the path, sorted; x in pixels. */
static int find_crossings(const fsfm_synth_path *path, float size, float y, crossing *found)
{
    int count = 0, first = 0;
    for (int contour = 0; contour < path->contours; contour++) {
        for (int i = first; i < path->end[contour]; i++) {
            const fsfm_synth_point a = path->point[i];
            const fsfm_synth_point b = path->point[i + 1 < path->end[contour] ? i + 1 : first];
            const float ay = a.y * size, by = b.y * size;
            if ((ay <= y) == (by <= y) || count == CROSSINGS_MAX) continue;
            const crossing c = {(a.x + (b.x - a.x) * (y - ay) / (by - ay)) * size, ay < by ? 1 : -1};
            int place = count++;
            for (; place > 0 && found[place - 1].x > c.x; place--) found[place] = found[place - 1];
            found[place] = c;
        }
        first = path->end[contour];
    }
    return count;
}

/* Adds what [from, to) covers of each pixel; marks the touched range in [*low, *high). */
static void cover_span(float *cover, int size, float from, float to, int *low, int *high)
{
    from = from < 0.0f ? 0.0f : from;
    to = to > (float)size ? (float)size : to;
    if (to <= from) return;
    const int first = (int)from, last = (int)to;
    if (first == last)
        cover[first] += (to - from) / LINES;
    else {
        cover[first] += ((float)(first + 1) - from) / LINES;
        for (int x = first + 1; x < last; x++) cover[x] += 1.0f / LINES;
        cover[last] += (to - (float)last) / LINES;
    }
    *low = first < *low ? first : *low;
    *high = last + 1 > *high ? last + 1 : *high;
}

static void cover_row(const fsfm_synth_canvas *canvas, const fsfm_synth_path *path, int row, int *low,
                      int *high)
{
    for (int line = 0; line < LINES; line++) {
        crossing found[CROSSINGS_MAX];
        const float y = (float)row + ((float)line + 0.5f) / LINES;
        const int count = find_crossings(path, (float)canvas->size, y, found);
        int winding = 0;
        for (int i = 0; i + 1 < count; i++) {
            winding += found[i].turn;
            if (winding != 0) cover_span(canvas->cover, canvas->size, found[i].x, found[i + 1].x, low, high);
        }
    }
}

static void blend(float *pixel, fsfm_synth_ink ink, float cover)
{
    const float share = cover * ink.alpha;
    pixel[0] += (ink.colour.r - pixel[0]) * share;
    pixel[1] += (ink.colour.g - pixel[1]) * share;
    pixel[2] += (ink.colour.b - pixel[2]) * share;
}

static void set_label(uint8_t *label, int wanted)
{
    if (wanted >= 0)
        *label = (uint8_t)wanted;
    else if (wanted == SYNTH_LABEL_GLASSES && *label >= 2 && *label <= 9)
        *label = 1;
}

static void paint_row(fsfm_synth_canvas *canvas, int row, int low, int high, int label,
                      fsfm_synth_shader shader, const void *context)
{
    const float pixel_side = 1.0f / (float)canvas->size;
    for (int x = low; x < high && x < canvas->size; x++) {
        const float cover = fminf(canvas->cover[x], 1.0f);
        const size_t i = (size_t)row * (size_t)canvas->size + (size_t)x;
        if (cover <= 0.0f) continue;
        blend(canvas->rgb + 3 * i,
              shader(context, ((float)x + 0.5f) * pixel_side, ((float)row + 0.5f) * pixel_side), cover);
        if (cover >= 0.5f) set_label(canvas->label + i, label);
    }
}

void fsfm_synth_fill(fsfm_synth_canvas *canvas, const fsfm_synth_path *path, int label,
                     fsfm_synth_shader shader, const void *context)
{
    float top = 1.0f, bottom = 0.0f;
    for (int i = 0; i < path->count; i++) {
        top = fminf(top, path->point[i].y);
        bottom = fmaxf(bottom, path->point[i].y);
    }
    const int size = canvas->size, first = (int)(fmaxf(top, 0.0f) * (float)size);
    const int last = (int)(fminf(bottom, 1.0f) * (float)size);
    for (int row = first; row <= last && row < size; row++) {
        int low = size, high = 0;
        cover_row(canvas, path, row, &low, &high);
        paint_row(canvas, row, low, high, label, shader, context);
        if (high > low) memset(canvas->cover + low, 0, (size_t)(high - low) * sizeof *canvas->cover);
    }
}

static fsfm_synth_ink plain(const void *context, float x, float y)
{
    (void)x, (void)y;
    return *(const fsfm_synth_ink *)context;
}

void fsfm_synth_fill_plain(fsfm_synth_canvas *canvas, const fsfm_synth_path *path, int label,
                           fsfm_synth_colour colour, float alpha)
{
    const fsfm_synth_ink ink = {colour, alpha};
    fsfm_synth_fill(canvas, path, label, plain, &ink);
}

void fsfm_synth_fill_all(fsfm_synth_canvas *canvas, fsfm_synth_shader shader, const void *context)
{
    for (int y = 0; y < canvas->size; y++)
        for (int x = 0; x < canvas->size; x++) {
            const float side = 1.0f / (float)canvas->size;
            blend(canvas->rgb + 3 * ((size_t)y * (size_t)canvas->size + (size_t)x),
                  shader(context, ((float)x + 0.5f) * side, ((float)y + 0.5f) * side), 1.0f);
        }
}
