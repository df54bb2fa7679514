/* SPDX-License-Identifier: Apache-2.0
 * Eyes, brows, glasses. */
#include <math.h>

#include "jobs/synth/face.h"

typedef struct {
    const fsfm_synth_face *face;
    fsfm_synth_point iris; /* in the plane of fsfm_synth_flat */
    float radius, squeeze;
    float top, bottom; /* of the opening */
} eye_context;

static fsfm_synth_ink eye_shader(const void *context, float x, float y)
{
    const eye_context *eye = context;
    const fsfm_synth_person *p = &eye->face->person;
    const fsfm_synth_point at = fsfm_synth_unflat(eye->face, x, y);
    const float dx = (at.x - eye->iris.x) / eye->squeeze, dy = at.y - eye->iris.y,
                d = sqrtf(dx * dx + dy * dy) / eye->radius;
    const float soft = 0.5f / (eye->radius * 60.0f);
    const float lid = fsfm_synth_step(eye->bottom, eye->top, at.y);
    fsfm_synth_colour c =
        fsfm_synth_scale((fsfm_synth_colour){0.95f, 0.93f, 0.91f}, 0.96f - 0.40f * lid * lid);
    c = fsfm_synth_mix(c, (fsfm_synth_colour){0.85f, 0.62f, 0.58f}, 0.18f * fsfm_synth_step(1.2f, 2.4f, d));
    const float rays = fsfm_synth_noise(p->noise + 41u, 7.0f * atan2f(dy, dx), 2.0f * d);
    fsfm_synth_colour iris = fsfm_synth_scale(
        p->iris, 0.95f + 0.25f * rays + 0.5f * fsfm_synth_step(-0.6f, 1.0f, dy / eye->radius) * d);
    iris = fsfm_synth_scale(iris, 1.0f - 0.55f * fsfm_synth_step(0.78f, 1.0f, d));
    c = fsfm_synth_mix(c, iris, 1.0f - fsfm_synth_step(1.0f - soft, 1.0f + soft, d));
    c = fsfm_synth_mix(c, (fsfm_synth_colour){0.02f, 0.02f, 0.03f},
                       1.0f - fsfm_synth_step(0.40f - soft, 0.44f + soft, d));
    c = fsfm_synth_scale(c, (0.80f + 0.20f * fsfm_synth_lit(eye->face, 0.6f * at.x, -0.1f, 0.8f)) *
                                (1.0f - 0.35f * lid));
    const float gx = dx / eye->radius - 0.35f * eye->face->pose.light[0], gy = dy / eye->radius + 0.36f;
    const float glint = 1.0f - fsfm_synth_step(0.15f, 0.27f, sqrtf(gx * gx + gy * gy));
    return (fsfm_synth_ink){fsfm_synth_mix(c, (fsfm_synth_colour){1.0f, 1.0f, 1.0f}, 0.9f * glint), 1.0f};
}

/* A point of the eye: (u, v) in units of its half width and half height, u outwards. */
static fsfm_synth_point eye_point(const fsfm_synth_face *face, float side, float u, float v, float lift)
{
    const fsfm_synth_person *p = &face->person;
    const float x = p->eye_x + u * p->eye_width;
    const float y = p->eye_y + v * p->eye_height - u * p->eye_tilt * p->eye_width;
    return fsfm_synth_place(face, side * x, y, lift);
}

static void draw_lids(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, float side, float squint)
{
    const fsfm_synth_person *p = &face->person;
    const float k = face->pose.scale;
    const float lash[5][3] = {{-1.0f, 0.12f, 0.4f},
                              {-0.5f, -0.72f, 0.9f},
                              {0.1f, -1.0f, 1.1f},
                              {0.62f, -0.62f, 1.3f},
                              {1.18f, 0.0f, 0.5f}};
    const float crease[4][3] = {
        {-0.85f, -0.75f, 0.4f}, {-0.2f, -1.55f, 1.0f}, {0.5f, -1.40f, 1.0f}, {1.15f, -0.55f, 0.3f}};
    const float below[4][3] = {
        {-0.8f, 0.50f, 0.4f}, {0.0f, 1.02f, 1.0f}, {0.6f, 0.80f, 1.0f}, {1.0f, 0.15f, 0.5f}};
    fsfm_synth_point knots[5];
    float widths[5];
    fsfm_synth_path path;
    for (int line = 0; line < 3; line++) {
        const float(*points)[3] = line == 0 ? lash : line == 1 ? crease : below;
        const int count = line == 0 ? 5 : 4;
        const float width = line == 0 ? 0.022f + 0.020f * p->lashes : 0.014f;
        for (int i = 0; i < count; i++) {
            knots[i] = eye_point(face, side, points[i][0], points[i][1] * (line == 2 ? 1.0f : squint), 0.02f);
            widths[i] = points[i][2] * width * k;
        }
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_stroke(&path, knots, widths, count);
        const fsfm_synth_colour dark =
            line == 0 ? (fsfm_synth_colour){0.07f, 0.05f, 0.05f} : fsfm_synth_scale(p->skin, 0.38f);
        fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_KEEP, dark, line == 0 ? 0.9f : 0.45f);
    }
}

void fsfm_synth_draw_eyes(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const fsfm_synth_pose *pose = &face->pose;
    const float squint = 1.0f - 0.25f * fsfm_synth_clamp(pose->smile, 0.0f, 1.0f);
    for (float side = -1.0f; side <= 1.0f; side += 2.0f) {
        const fsfm_synth_point knots[8] = {
            eye_point(face, side, -1.0f, 0.12f, 0.01f),
            eye_point(face, side, -0.55f, -0.68f * squint, 0.02f),
            eye_point(face, side, 0.08f, -1.0f * squint, 0.03f),
            eye_point(face, side, 0.65f, -0.62f * squint, 0.02f),
            eye_point(face, side, 1.0f, 0.0f, 0.0f),
            eye_point(face, side, 0.6f, 0.62f, 0.02f),
            eye_point(face, side, 0.0f, 0.86f, 0.03f),
            eye_point(face, side, -0.6f, 0.66f, 0.02f),
        };
        /* The gaze is a direction: both irises move the same way in the picture. */
        const float gaze_x = pose->gaze_x * 0.55f * p->eye_width,
                    gaze_y = pose->gaze_y * 0.5f * p->eye_height;
        const fsfm_synth_point iris =
            fsfm_synth_place(face, side * p->eye_x + gaze_x, p->eye_y - 0.012f + gaze_y, 0.03f);
        const fsfm_synth_point top = eye_point(face, side, 0.08f, -1.0f * squint, 0.03f),
                               bottom = eye_point(face, side, 0.0f, 0.86f, 0.03f);
        const eye_context context = {face,
                                     fsfm_synth_unflat(face, iris.x, iris.y),
                                     p->iris_size,
                                     0.55f + 0.45f * cosf(pose->yaw),
                                     fsfm_synth_unflat(face, top.x, top.y).y,
                                     fsfm_synth_unflat(face, bottom.x, bottom.y).y};
        fsfm_synth_path path;
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_smooth(&path, knots, 8);
        fsfm_synth_fill(canvas, &path, side < 0.0f ? SYNTH_EYE_LEFT : SYNTH_EYE_RIGHT, eye_shader, &context);
        draw_lids(face, canvas, side, squint);
    }
}

static fsfm_synth_ink brow_shader(const void *context, float x, float y)
{
    const fsfm_synth_face *face = context;
    const fsfm_synth_person *p = &face->person;
    const fsfm_synth_point at = fsfm_synth_unflat(face, x, y);
    const float side = at.x < 0.0f ? -1.0f : 1.0f;
    const float strands = fsfm_synth_noise(p->noise + 51u, at.x * 50.0f + side * at.y * 55.0f, at.y * 14.0f);
    const float shade = fsfm_synth_lit(face, 0.6f * at.x, -0.1f, 0.75f) * (0.9f + 0.4f * strands);
    return (fsfm_synth_ink){fsfm_synth_scale(p->brows, shade),
                            fsfm_synth_clamp(0.84f + 0.25f * strands, 0.0f, 1.0f)};
}

void fsfm_synth_draw_brows(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const float k = face->pose.scale, raise = 0.02f * face->pose.mouth_open;
    for (float side = -1.0f; side <= 1.0f; side += 2.0f) {
        fsfm_synth_point knots[5];
        float widths[5];
        for (int i = 0; i < 5; i++) {
            static const float thick[5] = {0.75f, 1.0f, 0.95f, 0.75f, 0.25f};
            const float u = (float)i / 4.0f, arch = sinf(3.0f * u * (1.2f - 0.25f * u)) * p->brow_arch;
            const float x = p->eye_x - 0.195f + 0.43f * u;
            const float y = p->eye_y - p->brow_y - arch - p->brow_tilt * (u - 0.4f) + 0.06f * u * u - raise;
            knots[i] = fsfm_synth_place(face, side * x, y, 0.03f);
            widths[i] = thick[i] * p->brow_thick * k;
        }
        fsfm_synth_path path;
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_stroke(&path, knots, widths, 5);
        fsfm_synth_fill(canvas, &path, side < 0.0f ? SYNTH_BROW_LEFT : SYNTH_BROW_RIGHT, brow_shader, face);
    }
}

static void lens_knots(const fsfm_synth_face *face, float side, float grow, fsfm_synth_point knots[8])
{
    const bool is_square = face->person.glasses == GLASSES_SQUARE;
    for (int i = 0; i < 8; i++) {
        const float turn = 6.2831853f * (float)i / 8.0f + 0.3927f;
        const float stretch = is_square ? 1.13f : 1.0f; /* corners pulled out */
        const float u = stretch * cosf(turn) * ((is_square ? 0.255f : 0.235f) + grow);
        const float v = stretch * sinf(turn) * ((is_square ? 0.165f : 0.205f) + grow);
        knots[i] =
            fsfm_synth_place(face, side * (face->person.eye_x + u), face->person.eye_y + 0.03f + v, 0.07f);
    }
}

static void draw_rim(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, float side)
{
    fsfm_synth_point outer[8], inner[8], hole[8];
    fsfm_synth_path path;
    lens_knots(face, side, 0.016f, outer);
    lens_knots(face, side, -0.016f, inner);
    for (int i = 0; i < 8; i++) hole[i] = inner[7 - i];
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, inner, 8);
    fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_KEEP, (fsfm_synth_colour){0.85f, 0.92f, 1.0f}, 0.10f);
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, outer, 8);
    fsfm_synth_path_smooth(&path, hole, 8);
    fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_GLASSES, face->person.frame, 0.95f);
}

void fsfm_synth_draw_glasses(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const float k = face->pose.scale, y = p->eye_y;
    if (p->glasses == GLASSES_NONE) return;
    draw_rim(face, canvas, -1.0f);
    draw_rim(face, canvas, 1.0f);
    const float widths[3] = {0.032f * k, 0.026f * k, 0.032f * k};
    const float inner = p->eye_x - 0.235f, outer = p->eye_x + 0.25f;
    const fsfm_synth_point bridge[3] = {fsfm_synth_place(face, -inner, y, 0.08f),
                                        fsfm_synth_place(face, 0.0f, y - 0.035f, 0.12f),
                                        fsfm_synth_place(face, inner, y, 0.08f)};
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_stroke(&path, bridge, widths, 3);
    fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_GLASSES, p->frame, 0.95f);
    for (float side = -1.0f; side <= 1.0f; side += 2.0f) {
        if (face->pose.yaw * side > 0.3f) continue; /* behind the head */
        const fsfm_synth_point arm[3] = {
            fsfm_synth_place(face, side * outer, y, 0.07f),
            fsfm_synth_place(face, side * 0.5f * (outer + p->width), y - 0.01f, 0.05f),
            fsfm_synth_place(face, side * p->width * 0.99f, y - 0.01f, 0.0f)};
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_stroke(&path, arm, widths, 3);
        fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_GLASSES, p->frame, 0.95f);
    }
}
