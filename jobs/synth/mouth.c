/* SPDX-License-Identifier: Apache-2.0
 * Nose and mouth. */
#include <math.h>

#include "jobs/synth/face.h"

typedef struct {
    const fsfm_synth_face *face;
    fsfm_synth_point bridge, tip; /* in the plane of fsfm_synth_flat */
    float top_half, bottom_half;
} nose_context;

/* Shading over the skin that is there: a ridge with two flanks, and a bulb at its end. */
static fsfm_synth_ink nose_shader(const void *context, float x, float y)
{
    const nose_context *nose = context;
    const fsfm_synth_person *p = &nose->face->person;
    const fsfm_synth_pose *pose = &nose->face->pose;
    const fsfm_synth_point at = fsfm_synth_unflat(nose->face, x, y);
    const float along =
        fsfm_synth_clamp((at.y - nose->bridge.y) / (nose->tip.y - nose->bridge.y), 0.0f, 1.3f);
    const float ridge = nose->bridge.x + (nose->tip.x - nose->bridge.x) * along;
    const float half = nose->top_half + (nose->bottom_half - nose->top_half) * along * along;
    const float across = fsfm_synth_clamp((at.x - ridge) / half, -1.2f, 1.2f);
    const float under = fsfm_synth_step(0.95f, 1.25f, along);
    const float light = across * pose->light[0] * 0.55f - under * 0.30f;
    const float flank = 0.20f * across * across * fsfm_synth_step(0.1f, 0.7f, along);
    const float rx = across + 0.25f * pose->light[0] * -1.0f, ry = (along - 0.90f) / 0.16f;
    const float highlight =
        0.5f * expf(-14.0f * rx * rx) * (0.45f + 0.55f * expf(-ry * ry)) * fsfm_synth_step(0.0f, 0.3f, along);
    fsfm_synth_colour c = fsfm_synth_skin_at(nose->face, at);
    c = fsfm_synth_mix(c, fsfm_synth_scale(p->blush, (c.r + c.g + c.b) / (p->skin.r + p->skin.g + p->skin.b)),
                       0.30f * fsfm_synth_step(0.55f, 1.0f, along));
    c = fsfm_synth_scale(c, 1.0f + light - flank);
    c = fsfm_synth_mix(c, (fsfm_synth_colour){1.0f, 0.96f, 0.90f}, (0.16f + 0.5f * p->gloss) * highlight);
    const float edge = 1.0f - fsfm_synth_step(0.72f, 1.12f, fabsf(across));
    return (fsfm_synth_ink){c, edge * fsfm_synth_step(-0.02f, 0.25f, along) *
                                   (1.0f - fsfm_synth_step(1.18f, 1.3f, along))};
}

static void draw_nostrils(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const float w = p->nose_width, y = p->nose_y, k = face->pose.scale, lift = p->nose_lift;
    const fsfm_synth_colour dark = fsfm_synth_scale(fsfm_synth_mix(p->skin, p->blush, 0.5f), 0.20f);
    fsfm_synth_path path;
    for (float side = -1.0f; side <= 1.0f; side += 2.0f) {
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_ellipse(&path, fsfm_synth_place(face, side * w * 0.42f, y + 0.055f, lift * 0.45f),
                                w * 0.23f * k, 0.022f * k, face->pose.roll - side * 0.25f, 0);
        fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_KEEP, dark, 0.80f);
        const fsfm_synth_point wing[4] = {fsfm_synth_place(face, side * w * 0.80f, y - 0.085f, lift * 0.25f),
                                          fsfm_synth_place(face, side * w * 1.03f, y - 0.015f, lift * 0.15f),
                                          fsfm_synth_place(face, side * w * 0.97f, y + 0.050f, lift * 0.15f),
                                          fsfm_synth_place(face, side * w * 0.66f, y + 0.072f, lift * 0.3f)};
        const float widths[4] = {0.004f * k, 0.020f * k, 0.024f * k, 0.006f * k};
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_stroke(&path, wing, widths, 4);
        fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_KEEP, dark, 0.38f);
    }
}

void fsfm_synth_draw_nose(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const float w = p->nose_width, y = p->nose_y, top = p->eye_y - 0.02f, lift = p->nose_lift;
    const float half[5][3] = {{p->nose_bridge, top, 0.02f},
                              {p->nose_bridge * 1.1f, top + 0.2f, 0.06f},
                              {w * 0.80f, y - 0.09f, 0.12f},
                              {w * 1.06f, y + 0.005f, 0.05f},
                              {w * 0.70f, y + 0.08f, 0.08f}};
    fsfm_synth_point knots[12];
    for (int i = 0; i < 5; i++) {
        knots[i] = fsfm_synth_place(face, half[i][0], half[i][1], half[i][2]);
        knots[10 - i] = fsfm_synth_place(face, -half[i][0], half[i][1], half[i][2]);
    }
    knots[5] = fsfm_synth_place(face, 0.0f, y + 0.105f, lift * 0.6f);
    knots[11] = fsfm_synth_place(face, 0.0f, top - 0.03f, 0.04f);
    const fsfm_synth_point bridge = fsfm_synth_place(face, 0.0f, top, 0.07f),
                           tip = fsfm_synth_place(face, 0.0f, y, lift);
    const nose_context context = {face, fsfm_synth_unflat(face, bridge.x, bridge.y),
                                  fsfm_synth_unflat(face, tip.x, tip.y), p->nose_bridge * 1.25f, w * 1.12f};
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, knots, 12);
    fsfm_synth_fill(canvas, &path, SYNTH_NOSE, nose_shader, &context);
    draw_nostrils(face, canvas);
}

/* A point of the mouth: u in -1 .. 1 across, v down from the line of the closed mouth; the corners follow the
 * smile. */
static fsfm_synth_point mouth_point(const fsfm_synth_face *face, float u, float v)
{
    const fsfm_synth_person *p = &face->person;
    const float smile = face->pose.smile;
    const float width = p->mouth_width * (1.0f + 0.16f * fmaxf(smile, 0.0f) - 0.10f * face->pose.mouth_open);
    return fsfm_synth_place(face, u * width, p->mouth_y + v - 0.055f * smile * (u * u - 0.25f),
                            0.05f * (1.0f - u * u));
}

typedef struct {
    const fsfm_synth_face *face;
    float upper, lower; /* heights of the lips, for the shading */
    float line;         /* y of the middle of the mouth in the plane of fsfm_synth_flat */
    bool is_lower;
} lip_context;

static fsfm_synth_ink lip_shader(const void *context, float x, float y)
{
    const lip_context *lip = context;
    const fsfm_synth_person *p = &lip->face->person;
    const fsfm_synth_point at = fsfm_synth_unflat(lip->face, x, y);
    const float v =
        fsfm_synth_clamp((at.y - lip->line) / (lip->is_lower ? lip->lower : lip->upper), -1.5f, 1.5f);
    const float ny = lip->is_lower ? -0.55f + 1.1f * v : 0.45f;
    const float wrinkles = fsfm_synth_noise(p->noise + 61u, at.x * 46.0f, at.y * 7.0f);
    const float shade = fsfm_synth_lit(lip->face, 0.7f * at.x, ny, 0.75f) * (1.0f + 0.10f * wrinkles);
    const float bump = lip->is_lower ? expf(-10.0f * (v - 0.40f) * (v - 0.40f) - 22.0f * at.x * at.x) : 0.0f;
    const fsfm_synth_colour c = fsfm_synth_scale(p->lips, lip->is_lower ? shade : 0.88f * shade);
    return (fsfm_synth_ink){
        fsfm_synth_mix(c, (fsfm_synth_colour){1.0f, 0.95f, 0.93f}, (0.10f + p->gloss) * bump), 0.96f};
}

typedef struct {
    const fsfm_synth_face *face;
    float top, bottom; /* of the opening in the middle */
    float middle;      /* x */
} inner_context;

/* Teeth above, the tongue below, dark between. */
static fsfm_synth_ink inner_shader(const void *context, float x, float y)
{
    const inner_context *inner = context;
    const fsfm_synth_point at = fsfm_synth_unflat(inner->face, x, y);
    const float depth = (at.y - inner->top) / fmaxf(inner->bottom - inner->top, 0.01f),
                dx = at.x - inner->middle;
    const float height = at.y - inner->top + 0.9f * dx * dx;
    fsfm_synth_colour c =
        fsfm_synth_mix((fsfm_synth_colour){0.16f, 0.04f, 0.04f}, (fsfm_synth_colour){0.70f, 0.30f, 0.30f},
                       fsfm_synth_step(0.55f, 0.95f, depth - 2.0f * dx * dx));
    const float gap = fabsf(fmodf(dx + 5.0f, 0.062f) - 0.031f) / 0.031f; /* 1 between two teeth */
    const fsfm_synth_colour tooth =
        fsfm_synth_scale((fsfm_synth_colour){0.95f, 0.93f, 0.87f},
                         0.95f - 0.22f * fsfm_synth_step(0.80f, 1.0f, gap) - 1.6f * dx * dx);
    c = fsfm_synth_mix(tooth, c, fsfm_synth_step(0.050f, 0.062f, height));
    return (fsfm_synth_ink){fsfm_synth_scale(c, 0.70f + 0.30f * fsfm_synth_step(-0.02f, 0.05f, height)),
                            1.0f};
}

static void draw_opening(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, float up, float down)
{
    const fsfm_synth_point knots[8] = {
        mouth_point(face, -0.86f, 0.0f), mouth_point(face, -0.45f, -0.75f * up),
        mouth_point(face, 0.0f, -up),    mouth_point(face, 0.45f, -0.75f * up),
        mouth_point(face, 0.86f, 0.0f),  mouth_point(face, 0.45f, 0.78f * down),
        mouth_point(face, 0.0f, down),   mouth_point(face, -0.45f, 0.78f * down),
    };
    const fsfm_synth_point top = fsfm_synth_unflat(face, knots[2].x, knots[2].y),
                           bottom = fsfm_synth_unflat(face, knots[6].x, knots[6].y);
    const inner_context context = {face, top.y, bottom.y, 0.5f * (top.x + bottom.x)};
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, knots, 8);
    fsfm_synth_fill(canvas, &path, SYNTH_MOUTH, inner_shader, &context);
}

/* The lips are drawn whole, from corner to corner; the opening is then cut into them. */
void fsfm_synth_draw_mouth(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const float open = face->pose.mouth_open, up = 0.030f * open, down = 0.125f * open;
    const float upper = p->lip_upper, lower = p->lip_lower;
    const fsfm_synth_point middle = mouth_point(face, 0.0f, 0.5f * (down - up));
    const float line = fsfm_synth_unflat(face, middle.x, middle.y).y;
    const lip_context top = {face, upper, lower, line, false},
                      bottom = {face, upper, lower, line + 0.5f * down, true};
    const fsfm_synth_point top_knots[8] = {
        mouth_point(face, -1.0f, 0.0f),         mouth_point(face, -0.55f, -0.70f * upper - up),
        mouth_point(face, -0.18f, -upper - up), mouth_point(face, 0.0f, -0.80f * upper - up),
        mouth_point(face, 0.18f, -upper - up),  mouth_point(face, 0.55f, -0.70f * upper - up),
        mouth_point(face, 1.0f, 0.0f),          mouth_point(face, 0.0f, 0.2f * down),
    };
    const fsfm_synth_point bottom_knots[8] = {
        mouth_point(face, -0.97f, 0.005f),     mouth_point(face, -0.4f, -0.6f * up),
        mouth_point(face, 0.0f, -0.8f * up),   mouth_point(face, 0.4f, -0.6f * up),
        mouth_point(face, 0.97f, 0.005f),      mouth_point(face, 0.50f, 0.78f * lower + 0.85f * down),
        mouth_point(face, 0.0f, lower + down), mouth_point(face, -0.50f, 0.78f * lower + 0.85f * down),
    };
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, bottom_knots, 8);
    fsfm_synth_fill(canvas, &path, SYNTH_LIP_LOWER, lip_shader, &bottom);
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, top_knots, 8);
    fsfm_synth_fill(canvas, &path, SYNTH_LIP_UPPER, lip_shader, &top);
    if (open > 0.0f) draw_opening(face, canvas, up, down);
    const float k = face->pose.scale,
                widths[5] = {0.020f * k, 0.012f * k, 0.016f * k, 0.012f * k, 0.020f * k};
    const fsfm_synth_point seam[5] = {
        mouth_point(face, -1.03f, 0.0f), mouth_point(face, -0.5f, -0.75f * up + 0.004f),
        mouth_point(face, 0.0f, -up + 0.008f), mouth_point(face, 0.5f, -0.75f * up + 0.004f),
        mouth_point(face, 1.03f, 0.0f)};
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_stroke(&path, seam, widths, 5);
    fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_KEEP, fsfm_synth_scale(p->lips, 0.25f), 0.75f);
}
