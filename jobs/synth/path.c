/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "jobs/synth/canvas.h"

enum { STEPS = 8, STROKE_KNOTS_MAX = 12, ELLIPSE_POINTS = 40 };

void fsfm_synth_path_clear(fsfm_synth_path *path)
{
    path->count = path->contours = 0;
}

void fsfm_synth_path_add(fsfm_synth_path *path, fsfm_synth_point point)
{
    if (path->count < SYNTH_PATH_MAX) path->point[path->count++] = point;
}

void fsfm_synth_path_end(fsfm_synth_path *path)
{
    if (path->contours < (int)(sizeof path->end / sizeof *path->end))
        path->end[path->contours++] = path->count;
}

static fsfm_synth_point spline(fsfm_synth_point a, fsfm_synth_point b, fsfm_synth_point c, fsfm_synth_point d,
                               float t)
{
    const float t2 = t * t, t3 = t2 * t;
    const float wa = -0.5f * t3 + t2 - 0.5f * t, wb = 1.5f * t3 - 2.5f * t2 + 1.0f;
    const float wc = -1.5f * t3 + 2.0f * t2 + 0.5f * t, wd = 0.5f * t3 - 0.5f * t2;
    return (fsfm_synth_point){wa * a.x + wb * b.x + wc * c.x + wd * d.x,
                              wa * a.y + wb * b.y + wc * c.y + wd * d.y};
}

void fsfm_synth_path_smooth(fsfm_synth_path *path, const fsfm_synth_point *knots, int count)
{
    for (int i = 0; i < count; i++)
        for (int step = 0; step < STEPS; step++)
            fsfm_synth_path_add(path, spline(knots[(i + count - 1) % count], knots[i], knots[(i + 1) % count],
                                             knots[(i + 2) % count], (float)step / STEPS));
    fsfm_synth_path_end(path);
}

void fsfm_synth_path_ellipse(fsfm_synth_path *path, fsfm_synth_point centre, float rx, float ry, float angle,
                             int is_hole)
{
    const float c = cosf(angle), s = sinf(angle);
    for (int i = 0; i < ELLIPSE_POINTS; i++) {
        const float turn = 6.2831853f * (float)(is_hole ? ELLIPSE_POINTS - i : i) / ELLIPSE_POINTS;
        const float x = rx * cosf(turn), y = ry * sinf(turn);
        fsfm_synth_path_add(path, (fsfm_synth_point){centre.x + c * x - s * y, centre.y + s * x + c * y});
    }
    fsfm_synth_path_end(path);
}

void fsfm_synth_path_stroke(fsfm_synth_path *path, const fsfm_synth_point *knots, const float *widths,
                            int count)
{
    fsfm_synth_point side[2][STROKE_KNOTS_MAX];
    count = count < STROKE_KNOTS_MAX ? count : STROKE_KNOTS_MAX;
    for (int i = 0; i < count; i++) {
        const fsfm_synth_point a = knots[i > 0 ? i - 1 : 0], b = knots[i < count - 1 ? i + 1 : count - 1];
        const float length = fmaxf(hypotf(b.x - a.x, b.y - a.y), 1e-6f), half = 0.5f * widths[i];
        const fsfm_synth_point normal = {-(b.y - a.y) / length * half, (b.x - a.x) / length * half};
        side[0][i] = (fsfm_synth_point){knots[i].x + normal.x, knots[i].y + normal.y};
        side[1][i] = (fsfm_synth_point){knots[i].x - normal.x, knots[i].y - normal.y};
    }
    for (int half = 0; half < 2; half++) /* there on one side, back on the other */
        for (int i = 0; i + 1 < count; i++)
            for (int step = 0; step <= STEPS; step++) {
                const int k = half ? count - 2 - i : i;
                const fsfm_synth_point *s = side[half];
                const float t = (float)(half ? STEPS - step : step) / STEPS;
                fsfm_synth_path_add(path, spline(s[k > 0 ? k - 1 : 0], s[k], s[k + 1],
                                                 s[k + 2 < count ? k + 2 : count - 1], t));
            }
    fsfm_synth_path_end(path);
}
