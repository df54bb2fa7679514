/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "jobs/synth/canvas.h"

enum { STEPS = 8, STROKE_KNOTS_MAX = 12, ELLIPSE_POINTS = 40 };

void synth_path_clear(synth_path *path)
{
    path->count = path->contours = 0;
}

void synth_path_add(synth_path *path, synth_point point)
{
    if (path->count < SYNTH_PATH_MAX) path->point[path->count++] = point;
}

void synth_path_end(synth_path *path)
{
    if (path->contours < (int)(sizeof path->end / sizeof *path->end))
        path->end[path->contours++] = path->count;
}

static synth_point spline(synth_point a, synth_point b, synth_point c, synth_point d, float t)
{
    const float t2 = t * t, t3 = t2 * t;
    const float wa = -0.5f * t3 + t2 - 0.5f * t, wb = 1.5f * t3 - 2.5f * t2 + 1.0f;
    const float wc = -1.5f * t3 + 2.0f * t2 + 0.5f * t, wd = 0.5f * t3 - 0.5f * t2;
    return (synth_point){wa * a.x + wb * b.x + wc * c.x + wd * d.x,
                         wa * a.y + wb * b.y + wc * c.y + wd * d.y};
}

void synth_path_smooth(synth_path *path, const synth_point *knots, int count)
{
    for (int i = 0; i < count; i++)
        for (int step = 0; step < STEPS; step++)
            synth_path_add(path, spline(knots[(i + count - 1) % count], knots[i], knots[(i + 1) % count],
                                        knots[(i + 2) % count], (float)step / STEPS));
    synth_path_end(path);
}

void synth_path_ellipse(synth_path *path, synth_point centre, float rx, float ry, float angle, int is_hole)
{
    const float c = cosf(angle), s = sinf(angle);
    for (int i = 0; i < ELLIPSE_POINTS; i++) {
        const float turn = 6.2831853f * (float)(is_hole ? ELLIPSE_POINTS - i : i) / ELLIPSE_POINTS;
        const float x = rx * cosf(turn), y = ry * sinf(turn);
        synth_path_add(path, (synth_point){centre.x + c * x - s * y, centre.y + s * x + c * y});
    }
    synth_path_end(path);
}

void synth_path_stroke(synth_path *path, const synth_point *knots, const float *widths, int count)
{
    synth_point side[2][STROKE_KNOTS_MAX];
    count = count < STROKE_KNOTS_MAX ? count : STROKE_KNOTS_MAX;
    for (int i = 0; i < count; i++) {
        const synth_point a = knots[i > 0 ? i - 1 : 0], b = knots[i < count - 1 ? i + 1 : count - 1];
        const float length = fmaxf(hypotf(b.x - a.x, b.y - a.y), 1e-6f), half = 0.5f * widths[i];
        const synth_point normal = {-(b.y - a.y) / length * half, (b.x - a.x) / length * half};
        side[0][i] = (synth_point){knots[i].x + normal.x, knots[i].y + normal.y};
        side[1][i] = (synth_point){knots[i].x - normal.x, knots[i].y - normal.y};
    }
    for (int half = 0; half < 2; half++) /* there on one side, back on the other */
        for (int i = 0; i + 1 < count; i++)
            for (int step = 0; step <= STEPS; step++) {
                const int k = half ? count - 2 - i : i;
                const synth_point *s = side[half];
                const float t = (float)(half ? STEPS - step : step) / STEPS;
                synth_path_add(path, spline(s[k > 0 ? k - 1 : 0], s[k], s[k + 1],
                                            s[k + 2 < count ? k + 2 : count - 1], t));
            }
    synth_path_end(path);
}
