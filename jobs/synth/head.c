/* SPDX-License-Identifier: Apache-2.0
 * The skin of the head: outline, light and shade, ears, beard. */
#include <math.h>

#include "jobs/synth/face.h"

enum { SPOTS_MAX = 24 };

/* A soft ellipse of the face that is darker, brighter or of another colour. */
typedef struct {
    fsfm_synth_point centre; /* in the plane of fsfm_synth_flat */
    float rx, ry;
    fsfm_synth_colour colour;
    float share;
} spot;

typedef struct {
    const fsfm_synth_face *face;
    int count;
    spot spots[SPOTS_MAX];
} head_context;

fsfm_synth_colour fsfm_synth_skin_at(const fsfm_synth_face *face, fsfm_synth_point at)
{
    const fsfm_synth_person *p = &face->person;
    float nx = at.x / (p->width * 1.12f), ny = at.y * 0.80f;
    const float length = sqrtf(nx * nx + ny * ny), inside = length > 0.97f ? 0.97f / length : 1.0f;
    nx *= inside;
    ny *= inside;
    const float nz = sqrtf(1.0f - nx * nx - ny * ny);
    float shade = fsfm_synth_lit(face, nx, ny, nz);
    shade *= 0.80f + 0.20f * fsfm_synth_step(0.0f, 0.55f, nz); /* the rim turns away */
    const float pores = fsfm_synth_clouds(p->noise, at.x * 26.0f, at.y * 26.0f, 2);
    const float patches = fsfm_synth_clouds(p->noise + 9u, at.x * 3.0f, at.y * 3.0f, 2);
    const fsfm_synth_pose *pose = &face->pose;
    const float half_x = pose->light[0], half_y = pose->light[1], half_z = pose->light[2] + 1.0f;
    const float half = sqrtf(half_x * half_x + half_y * half_y + half_z * half_z) + 1e-6f;
    const float mirror = fmaxf(0.0f, (nx * half_x + ny * half_y + nz * half_z) / half);
    const float shine = p->gloss * powf(mirror, 24.0f);
    fsfm_synth_colour c = fsfm_synth_mix(p->skin, p->blush, 0.16f + 0.22f * patches);
    c = fsfm_synth_scale(c, shade * (1.0f + 0.045f * pores));
    c.r = c.r * pose->tint.r + shine * (1.0f + 0.6f * pores);
    c.g = c.g * pose->tint.g + shine * (1.0f + 0.6f * pores);
    c.b = c.b * pose->tint.b + shine * (1.0f + 0.6f * pores);
    return c;
}

/* share < 0 brightens instead of mixing: then colour is added. */
static void add_spot(head_context *context, float x, float y, float lift, float rx, float ry,
                     fsfm_synth_colour colour, float share)
{
    if (context->count == SPOTS_MAX) return;
    const fsfm_synth_point picture = fsfm_synth_place(context->face, x, y, lift);
    context->spots[context->count++] =
        (spot){fsfm_synth_unflat(context->face, picture.x, picture.y), rx, ry, colour, share};
}

static void add_spots(head_context *context)
{
    const fsfm_synth_face *face = context->face;
    const fsfm_synth_person *p = &face->person;
    const fsfm_synth_colour dark = fsfm_synth_mix(fsfm_synth_scale(p->skin, 0.42f), p->blush, 0.25f);
    const fsfm_synth_colour bright =
        fsfm_synth_mix(fsfm_synth_scale(p->skin, 1.12f), (fsfm_synth_colour){1.0f, 0.97f, 0.92f}, 0.35f);
    const float light = face->pose.light[0];
    for (int side = -1; side <= 1; side += 2) {
        const float s = (float)side;
        const float away = fmaxf(0.0f, -light * s); /* this side of the nose lies in its shadow */
        add_spot(context, s * p->eye_x, p->eye_y - 0.05f, 0.0f, 0.27f, 0.17f, dark, 0.34f);
        add_spot(context, s * 0.14f, p->eye_y + 0.03f, 0.0f, 0.13f, 0.26f, dark, 0.22f + 0.30f * away);
        add_spot(context, s * p->eye_x, p->eye_y - 0.5f * p->eye_height - 0.02f, 0.0f, 0.24f, 0.11f,
                 p->eye_shadow, 0.35f);
        add_spot(context, s * p->eye_x * 1.02f, p->eye_y + 0.14f, 0.0f, 0.19f, 0.07f, dark,
                 0.10f + 0.35f * p->age);
        add_spot(context, s * 0.43f, p->nose_y - 0.06f, 0.0f, 0.32f, 0.27f, p->blush, 0.55f);
        add_spot(context, s * 0.42f, p->eye_y + 0.27f, 0.0f, 0.22f, 0.15f, bright, 0.24f);
        add_spot(context, s * (p->nose_width + 0.05f), p->nose_y - 0.03f, 0.0f, 0.13f, 0.17f, dark,
                 0.14f + 0.42f * away);
    }
    add_spot(context, 0.0f, p->nose_y + 0.12f, 0.05f, 0.25f, 0.10f, dark, 0.36f);
    add_spot(context, 0.0f, p->mouth_y + p->lip_lower + 0.075f, 0.0f, 0.22f, 0.07f, dark, 0.40f);
    add_spot(context, 0.0f, 0.88f, 0.0f, 0.18f, 0.12f, bright, 0.20f);
    add_spot(context, 0.25f * light, -0.42f, 0.0f, 0.42f, 0.24f, bright, 0.22f);
    if (p->hair != HAIR_BALD) add_spot(context, 0.0f, p->hairline - 0.06f, 0.0f, 0.75f, 0.22f, dark, 0.45f);
}

static float freckle(const fsfm_synth_person *p, fsfm_synth_point at)
{
    const float spots = fsfm_synth_noise(p->noise + 77u, at.x * 34.0f, at.y * 34.0f);
    const float area =
        fsfm_synth_step(0.55f, 0.1f, fabsf(at.y - 0.18f)) * fsfm_synth_step(0.75f, 0.3f, fabsf(at.x));
    return p->freckles * area * fsfm_synth_step(0.42f, 0.62f, spots) * 0.4f;
}

static fsfm_synth_ink head_shader(const void *context, float x, float y)
{
    const head_context *head = context;
    const fsfm_synth_point at = fsfm_synth_unflat(head->face, x, y);
    fsfm_synth_colour c = fsfm_synth_skin_at(head->face, at);
    const float level = (c.r + c.g + c.b) /
                        (head->face->person.skin.r + head->face->person.skin.g + head->face->person.skin.b);
    for (int i = 0; i < head->count; i++) {
        const spot *s = &head->spots[i];
        const float dx = (at.x - s->centre.x) / s->rx, dy = (at.y - s->centre.y) / s->ry,
                    d = dx * dx + dy * dy;
        if (d < 1.0f)
            c = fsfm_synth_mix(c, fsfm_synth_scale(s->colour, level), s->share * (1.0f - d) * (1.0f - d));
    }
    if (head->face->person.freckles > 0.0f) {
        const float f = freckle(&head->face->person, at);
        c = fsfm_synth_mix(c, (fsfm_synth_colour){0.45f * level, 0.24f * level, 0.13f * level}, f);
    }
    return (fsfm_synth_ink){c, 1.0f};
}

static void outline_knots(const fsfm_synth_face *face, fsfm_synth_point knots[14])
{
    const fsfm_synth_person *p = &face->person;
    const float w = p->width;
    const float half[7][2] = {
        {0.0f, -1.0f},      {0.58f * w, -0.90f}, {p->forehead * w, -0.50f}, {w, 0.02f},
        {0.95f * w, 0.30f}, {p->jaw * w, 0.66f}, {p->chin, 0.955f},
    };
    for (int i = 0; i < 7; i++) {
        knots[i] = fsfm_synth_place(face, half[i][0], half[i][1], 0.0f);
        if (i > 0) knots[14 - i] = fsfm_synth_place(face, -half[i][0], half[i][1], 0.0f);
    }
    knots[7] = fsfm_synth_place(face, 0.0f, 1.0f, 0.0f);
}

static void draw_ear(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, float side)
{
    const fsfm_synth_person *p = &face->person;
    const float yaw = face->pose.yaw * side; /* > 0: this ear goes behind the head */
    const float wide = 0.105f * p->ear * fsfm_synth_clamp(1.0f - 1.6f * yaw, 0.5f, 1.7f);
    const fsfm_synth_point edge = fsfm_synth_place(face, side * p->width * 1.02f, 0.06f, 0.0f);
    fsfm_synth_point at = fsfm_synth_unflat(face, edge.x, edge.y);
    at.x += side * (0.02f - 0.12f * fmaxf(yaw, 0.0f));
    const fsfm_synth_point centre = fsfm_synth_flat(face, at.x, at.y);
    const float k = face->pose.scale, tilt = face->pose.roll + side * 0.16f;
    const head_context context = {.face = face};
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_ellipse(&path, centre, wide * k, 0.20f * p->ear * k, tilt, 0);
    fsfm_synth_fill(canvas, &path, SYNTH_SKIN, head_shader, &context);
    fsfm_synth_path_clear(&path);
    const fsfm_synth_point inner = fsfm_synth_flat(face, at.x + side * 0.012f, at.y - 0.01f);
    fsfm_synth_path_ellipse(&path, inner, wide * 0.58f * k, 0.125f * p->ear * k, tilt, 0);
    fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_KEEP,
                          fsfm_synth_scale(fsfm_synth_mix(p->skin, p->blush, 0.6f), 0.55f), 0.40f);
}

static void draw_line(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, const float (*points)[2],
                      int count, float side, float width, fsfm_synth_colour colour, float alpha)
{
    fsfm_synth_point knots[8];
    float widths[8];
    for (int i = 0; i < count; i++) {
        knots[i] = fsfm_synth_place(face, side * points[i][0], points[i][1], 0.01f);
        widths[i] = (i == 0 || i == count - 1 ? 0.3f : 1.0f) * width * face->pose.scale;
    }
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_stroke(&path, knots, widths, count);
    fsfm_synth_fill_plain(canvas, &path, SYNTH_LABEL_KEEP, colour, alpha);
}

static void draw_wrinkles(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const fsfm_synth_colour dark = fsfm_synth_scale(fsfm_synth_mix(p->skin, p->blush, 0.4f), 0.45f);
    const float smile = fmaxf(0.0f, face->pose.smile);
    const float fold[4][2] = {{p->nose_width + 0.03f, p->nose_y - 0.04f},
                              {p->nose_width + 0.12f, p->nose_y + 0.07f},
                              {p->mouth_width + 0.07f, p->mouth_y - 0.06f},
                              {p->mouth_width + 0.08f, p->mouth_y + 0.06f}};
    const float outer[3][2] = {{p->eye_x + 0.20f, p->eye_y + 0.0f},
                               {p->eye_x + 0.25f, p->eye_y + 0.03f},
                               {p->eye_x + 0.29f, p->eye_y + 0.08f}};
    for (float side = -1.0f; side <= 1.0f; side += 2.0f) {
        draw_line(face, canvas, fold, 4, side, 0.028f, dark, 0.14f + 0.22f * smile + 0.35f * p->age);
        if (p->age > 0.3f) draw_line(face, canvas, outer, 3, side, 0.018f, dark, 0.35f * p->age);
    }
    for (int line = 0; line < 3 && p->age > 0.4f; line++) {
        const float y = -0.36f - 0.10f * (float)line;
        const float brow[4][2] = {{-0.38f, y + 0.02f}, {-0.13f, y - 0.01f}, {0.14f, y}, {0.39f, y + 0.025f}};
        draw_line(face, canvas, brow, 4, 1.0f, 0.020f, dark, 0.30f * p->age);
    }
}

void fsfm_synth_draw_head(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    head_context context = {.face = face};
    fsfm_synth_point knots[14];
    fsfm_synth_path path;
    draw_ear(face, canvas, -1.0f);
    draw_ear(face, canvas, 1.0f);
    add_spots(&context);
    outline_knots(face, knots);
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, knots, 14);
    fsfm_synth_fill(canvas, &path, SYNTH_SKIN, head_shader, &context);
    draw_wrinkles(face, canvas);
}

static fsfm_synth_ink beard_shader(const void *context, float x, float y)
{
    const fsfm_synth_face *face = context;
    const fsfm_synth_person *p = &face->person;
    const fsfm_synth_point at = fsfm_synth_unflat(face, x, y);
    const float strands = fsfm_synth_noise(p->noise + 13u, at.x * 42.0f, at.y * 12.0f) +
                          0.6f * fsfm_synth_noise(p->noise + 14u, at.x * 90.0f, at.y * 36.0f);
    const float shade = fsfm_synth_lit(face, 0.8f * at.x, 0.35f, 0.6f) * (0.80f + 0.30f * strands);
    const float thick = p->beard == BEARD_STUBBLE ? 0.30f + 0.22f * strands : 0.88f + 0.10f * strands;
    return (fsfm_synth_ink){fsfm_synth_scale(fsfm_synth_mix(p->hair_colour, p->brows, 0.3f), shade),
                            fsfm_synth_clamp(thick, 0.0f, 1.0f)};
}

static void fill_beard(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, const float (*half)[2],
                       int count)
{
    fsfm_synth_point knots[20];
    for (int i = 0; i < count; i++) {
        knots[i] = fsfm_synth_place(face, half[i][0], half[i][1], 0.0f);
        knots[2 * count - 1 - i] = fsfm_synth_place(face, -half[i][0], half[i][1], 0.0f);
    }
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, knots, 2 * count);
    fsfm_synth_fill(canvas, &path, SYNTH_SKIN, beard_shader, face);
}

void fsfm_synth_draw_beard(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const float w = p->width, m = p->mouth_y, lip = 0.5f * (p->nose_y + m);
    const float full[8][2] = {{0.03f, m - 0.11f},          {p->mouth_width + 0.04f, m - 0.05f},
                              {0.66f * w, 0.42f},          {0.90f * w, 0.10f},
                              {0.985f * w, 0.14f},         {0.95f * w, 0.38f},
                              {p->jaw * w * 1.01f, 0.70f}, {p->chin, 1.02f}};
    const float goatee[5][2] = {{0.02f, m - 0.10f},
                                {p->mouth_width * 0.95f, m - 0.04f},
                                {p->mouth_width * 0.98f, m + 0.10f},
                                {0.22f, 0.92f},
                                {0.08f, 1.03f}};
    const float moustache[4][2] = {
        {0.015f, lip - 0.01f}, {0.14f, lip}, {p->mouth_width + 0.03f, m + 0.01f}, {0.10f, m - 0.02f}};
    if (p->beard == BEARD_FULL || p->beard == BEARD_STUBBLE) fill_beard(face, canvas, full, 8);
    if (p->beard == BEARD_GOATEE) fill_beard(face, canvas, goatee, 5);
    if (p->beard == BEARD_MOUSTACHE || p->beard == BEARD_FULL) fill_beard(face, canvas, moustache, 4);
}
