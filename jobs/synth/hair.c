/* SPDX-License-Identifier: Apache-2.0
 * Hair behind and in front of the head, and hats. */
#include <math.h>

#include "jobs/synth/face.h"

enum { RIM = 17 }; /* knots of the outer edge, from the left ear over the top to the right one */

static bool has_curls(const fsfm_synth_person *p)
{
    return p->hair == HAIR_CURLY || p->hair == HAIR_AFRO;
}

/* Strands run from the parting downwards; curls have no direction. */
fsfm_synth_ink fsfm_synth_hair_shader(const void *context, float x, float y)
{
    const fsfm_synth_face *face = context;
    const fsfm_synth_person *p = &face->person;
    const fsfm_synth_point at = fsfm_synth_unflat(face, x, y);
    const float px = at.x - 0.5f * p->hair_part, py = at.y + 1.15f;
    const float radius = sqrtf(px * px + py * py),
                wave = 0.06f * p->hair_wave * sinf(radius * 11.0f + 3.0f * px);
    const float angle = atan2f(px, py + 0.12f) + wave;
    float strands;
    if (has_curls(p))
        strands = 1.1f * fsfm_synth_clouds(p->noise + 21u, at.x * 13.0f, at.y * 13.0f, 3);
    else
        strands = 0.75f * fsfm_synth_noise(p->noise + 22u, angle * 17.0f, radius * 1.2f) +
                  0.55f * fsfm_synth_noise(p->noise + 23u, angle * 48.0f, radius * 2.2f);
    const float length = fmaxf(1.0f, sqrtf(at.x * at.x + at.y * at.y * 0.7f) / 1.1f);
    const float nx = 0.85f * at.x / length, ny = 0.70f * at.y / length;
    const float nz = sqrtf(fmaxf(0.05f, 1.0f - nx * nx - ny * ny));
    const float band = (radius - 0.42f - 0.05f * strands) / 0.16f, tilt = nx - 0.6f * face->pose.light[0];
    const float shine = has_curls(p) ? 0.05f : 0.26f * expf(-band * band - 3.0f * tilt * tilt);
    const float shade = fsfm_synth_lit(face, nx, ny, nz) * (0.85f + 0.42f * strands);
    const fsfm_synth_colour c = fsfm_synth_scale(p->hair_colour, fmaxf(shade, 0.12f));
    return (fsfm_synth_ink){
        fsfm_synth_mix(c, (fsfm_synth_colour){1.0f, 0.95f, 0.86f}, shine * (0.7f + 0.5f * strands)), 1.0f};
}

static fsfm_synth_ink shaded_hair(const void *face, float x, float y)
{
    fsfm_synth_ink ink = fsfm_synth_hair_shader(face, x, y);
    ink.colour = fsfm_synth_scale(ink.colour, 0.55f);
    return ink;
}

static fsfm_synth_ink cropped_hair(const void *context, float x, float y)
{
    const fsfm_synth_face *face = context;
    fsfm_synth_ink ink = fsfm_synth_hair_shader(face, x, y);
    const fsfm_synth_point at = fsfm_synth_unflat(face, x, y);
    ink.alpha = fsfm_synth_clamp(
        0.74f + 0.25f * fsfm_synth_noise(face->person.noise + 25u, at.x * 60.0f, at.y * 60.0f), 0.0f, 1.0f);
    return ink;
}

/* Knots of a cap's outer edge, thick above the skull, ending at height low beside the head. */
static void rim_knots(const fsfm_synth_face *face, float thick, float low, float bumps,
                      fsfm_synth_point *knots)
{
    const fsfm_synth_person *p = &face->person;
    const float back = -0.10f * sinf(face->pose.yaw); /* the skull reaches backwards */
    for (int i = 0; i < RIM; i++) {
        const float turn = 3.1415927f * (float)i / (RIM - 1), up = sinf(turn), out = -cosf(turn);
        const float bump = bumps * fsfm_synth_noise(p->noise + 27u, (float)i * 1.9f, 0.5f);
        const float wide =
            p->width * 1.03f + thick * (0.55f + 0.3f * up) + 0.14f * fabsf(sinf(face->pose.yaw)) + bump;
        const float x = back + out * wide, y = low - up * (low + 1.0f + thick + bump);
        knots[i] = fsfm_synth_flat(face, x * (up < 0.25f && low > 0.6f ? 1.04f : 1.0f), y);
    }
}

/* A hat presses the hair down. */
static float volume(const fsfm_synth_person *p)
{
    if (p->hat != HAT_NONE) return 0.05f;
    return p->hair == HAIR_BUZZ   ? 0.025f
           : p->hair == HAIR_AFRO ? 0.24f + p->hair_volume
           : p->hair == HAIR_RING ? 0.03f
                                  : p->hair_volume;
}

static float bumps(const fsfm_synth_person *p)
{
    return has_curls(p) ? 0.075f : p->hair == HAIR_SHORT ? 0.03f : 0.02f;
}

void fsfm_synth_draw_hair_behind(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    fsfm_synth_path path;
    fsfm_synth_point knots[RIM + 5];
    if (p->hat == HAT_SCARF || (p->hair == HAIR_BUN && p->hat != HAT_NONE)) return;
    fsfm_synth_path_clear(&path);
    if (p->hair == HAIR_BUN) {
        fsfm_synth_path_ellipse(&path,
                                fsfm_synth_flat(face, 0.25f * p->hair_part - 0.3f * sinf(face->pose.yaw),
                                                -1.22f - p->hair_volume),
                                0.33f * face->pose.scale, 0.27f * face->pose.scale, face->pose.roll, 0);
        fsfm_synth_fill(canvas, &path, SYNTH_HAIR, fsfm_synth_hair_shader, face);
        return;
    }
    if (p->hair != HAIR_LONG && p->hair != HAIR_BOB && p->hair != HAIR_AFRO && p->hair != HAIR_CURLY) return;
    const float low = p->hair == HAIR_LONG || p->hair == HAIR_BOB ? 0.3f
                      : p->hair == HAIR_AFRO                      ? 0.25f
                                                                  : 0.15f;
    rim_knots(face, volume(p) + 0.02f, low, bumps(p), knots);
    int count = RIM;
    if (p->hair == HAIR_LONG || p->hair == HAIR_BOB) {
        const float wide = p->width + 0.75f * p->hair_volume + 0.08f, end = p->hair_length;
        knots[count++] = fsfm_synth_flat(face, wide + 0.05f, 0.5f * (low + end));
        knots[count++] = fsfm_synth_flat(face, wide - 0.10f, end);
        knots[count++] = fsfm_synth_flat(face, 0.0f, end - 0.12f);
        knots[count++] = fsfm_synth_flat(face, -wide + 0.10f, end + 0.06f);
        knots[count++] = fsfm_synth_flat(face, -wide - 0.05f, 0.5f * (low + end));
    } else
        knots[count++] = fsfm_synth_flat(face, 0.0f, 0.7f);
    fsfm_synth_path_smooth(&path, knots, count);
    fsfm_synth_fill(canvas, &path, SYNTH_HAIR, shaded_hair, face);
}

/* Inner edge of the cap from the right to the left temple; it lies on the face and so turns with it. */
static int hairline_knots(const fsfm_synth_face *face, fsfm_synth_point *knots)
{
    const fsfm_synth_person *p = &face->person;
    const float w = p->width, line = p->hairline, side = p->hair_part < 0.0f ? -1.0f : 1.0f;
    const float deep =
        p->hair == HAIR_BUZZ || p->hair == HAIR_SHORT ? 0.06f : 0.0f; /* corners of a receding line */
    const bool is_free =
        p->hair == HAIR_BUZZ || p->hair == HAIR_RING || p->hair == HAIR_AFRO || p->hair == HAIR_BUN;
    const fringe_kind fringe = is_free ? FRINGE_BACK : p->fringe;
    float y[7] = {-0.32f, line + 0.12f - deep, line - 0.02f - deep,
                  line,   line - 0.02f - deep, line + 0.12f - deep,
                  -0.32f};
    if (fringe == FRINGE_BANGS)
        for (int i = 1; i < 6; i++) y[i] = p->eye_y - p->brow_y - 0.10f + 0.03f * (float)(i % 2);
    if (fringe == FRINGE_CENTRE) {
        y[3] = line - 0.22f;
        y[2] = y[4] = line + 0.04f;
        y[1] = y[5] = line + 0.24f;
    }
    if (fringe == FRINGE_SIDE)
        for (int i = 1; i < 6; i++) y[i] = line + 0.09f * side * (float)(i - 3) + 0.03f;
    static const float x[7] = {0.93f, 0.80f, 0.50f, 0.0f, -0.50f, -0.80f, -0.93f};
    for (int i = 0; i < 7; i++) knots[i] = fsfm_synth_place(face, x[i] * w, y[i], 0.0f);
    return 7;
}

static void draw_cap(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, float thick, float low,
                     int label, fsfm_synth_shader shader)
{
    const fsfm_synth_person *p = &face->person;
    fsfm_synth_point knots[RIM + 12];
    fsfm_synth_path path;
    rim_knots(face, thick, low, bumps(p), knots);
    int count = RIM;
    const float sideburn = fminf(low, 0.1f);
    knots[count++] = fsfm_synth_place(face, 0.95f * p->width, sideburn, 0.0f);
    count += hairline_knots(face, knots + count);
    knots[count++] = fsfm_synth_place(face, -0.95f * p->width, sideburn, 0.0f);
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, knots, count);
    fsfm_synth_fill(canvas, &path, label, shader, face);
}

/* Hair or scarf that falls beside the face, in front of the shoulders. */
static void draw_locks(const fsfm_synth_face *face, fsfm_synth_canvas *canvas, int label,
                       fsfm_synth_shader shader)
{
    const fsfm_synth_person *p = &face->person;
    const float end = p->hat == HAT_SCARF ? 1.5f : p->hair_length,
                wide = p->width + 0.60f * p->hair_volume + 0.06f, w = p->width;
    const float back = -0.10f * sinf(face->pose.yaw);
    fsfm_synth_path path;
    for (float side = -1.0f; side <= 1.0f; side += 2.0f) {
        const float drop = end - 0.08f * (1.0f + side);
        const fsfm_synth_point low = fsfm_synth_place(face, side * 0.93f * w, 0.42f, 0.0f);
        const fsfm_synth_point edge = fsfm_synth_unflat(face, low.x, low.y);
        const fsfm_synth_point knots[8] = {
            fsfm_synth_place(face, side * 0.88f * w, -0.40f, 0.0f),
            fsfm_synth_place(face, side * 0.93f * w, 0.0f, 0.0f),
            low,
            fsfm_synth_flat(face, edge.x + side * 0.02f, fmaxf(0.55f, 0.6f * drop)),
            fsfm_synth_flat(face, back + side * (wide - 0.12f), drop),
            fsfm_synth_flat(face, back + side * (wide + 0.02f), drop - 0.10f),
            fsfm_synth_flat(face, back + side * (wide + 0.06f), 0.35f),
            fsfm_synth_flat(face, back + side * wide, -0.35f),
        };
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_smooth(&path, knots, 8);
        fsfm_synth_fill(canvas, &path, label, shader, face);
    }
}

/* Hair at the sides only, around a bald top. */
static void draw_ring(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const float w = face->person.width, back = -0.10f * sinf(face->pose.yaw);
    fsfm_synth_path path;
    for (float side = -1.0f; side <= 1.0f; side += 2.0f) {
        const fsfm_synth_point knots[6] = {
            fsfm_synth_place(face, side * 0.88f * w, -0.48f, 0.0f),
            fsfm_synth_place(face, side * 0.90f * w, -0.20f, 0.0f),
            fsfm_synth_place(face, side * 0.96f * w, 0.06f, 0.0f),
            fsfm_synth_flat(face, back + side * (w + 0.03f), 0.00f),
            fsfm_synth_flat(face, back + side * (w + 0.07f), -0.25f),
            fsfm_synth_flat(face, back + side * (w + 0.02f), -0.58f),
        };
        fsfm_synth_path_clear(&path);
        fsfm_synth_path_smooth(&path, knots, 6);
        fsfm_synth_fill(canvas, &path, SYNTH_HAIR, cropped_hair, face);
    }
}

void fsfm_synth_draw_hair(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    if (p->hat == HAT_SCARF) return;
    if (p->hair == HAIR_LONG || p->hair == HAIR_BOB)
        draw_locks(face, canvas, SYNTH_HAIR, fsfm_synth_hair_shader);
    if (p->hair == HAIR_RING) draw_ring(face, canvas);
    if (p->hair == HAIR_BALD || p->hair == HAIR_RING) return;
    const float low = p->hair == HAIR_BUZZ                          ? -0.05f
                      : p->hair == HAIR_LONG || p->hair == HAIR_BOB ? 0.1f
                                                                    : 0.02f;
    draw_cap(face, canvas, volume(p), low, SYNTH_HAIR,
             p->hair == HAIR_BUZZ ? cropped_hair : fsfm_synth_hair_shader);
}

static void draw_brim(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const float w = face->person.width;
    const fsfm_synth_point knots[8] = {
        fsfm_synth_place(face, -0.80f * w, -0.46f, 0.0f),  fsfm_synth_place(face, -0.4f * w, -0.55f, 0.06f),
        fsfm_synth_place(face, 0.4f * w, -0.55f, 0.06f),   fsfm_synth_place(face, 0.80f * w, -0.46f, 0.0f),
        fsfm_synth_place(face, 0.62f * w, -0.33f, 0.25f),  fsfm_synth_place(face, 0.25f * w, -0.29f, 0.42f),
        fsfm_synth_place(face, -0.25f * w, -0.29f, 0.42f), fsfm_synth_place(face, -0.62f * w, -0.33f, 0.25f),
    };
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, knots, 8);
    fsfm_synth_fill_plain(canvas, &path, SYNTH_BACKGROUND, fsfm_synth_scale(face->person.cloth_second, 0.6f),
                          1.0f);
}

void fsfm_synth_draw_hat(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    if (p->hat == HAT_NONE) return;
    if (p->hat == HAT_SCARF) {
        draw_locks(face, canvas, SYNTH_BACKGROUND, fsfm_synth_cloth_shader);
        draw_cap(face, canvas, 0.12f, 0.35f, SYNTH_BACKGROUND, fsfm_synth_cloth_shader);
        return;
    }
    const float w = p->width, thick = p->hat == HAT_BEANIE ? 0.20f : 0.13f;
    fsfm_synth_point knots[RIM + 5];
    rim_knots(face, thick, -0.42f, 0.0f, knots);
    int count = RIM;
    for (int i = 0; i < 5; i++) {
        static const float x[5] = {0.93f, 0.55f, 0.0f, -0.55f, -0.93f};
        knots[count++] = fsfm_synth_place(face, x[i] * w, -0.44f - 0.05f * (1.0f - x[i] * x[i]), 0.03f);
    }
    fsfm_synth_path path;
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, knots, count);
    fsfm_synth_fill(canvas, &path, SYNTH_BACKGROUND, fsfm_synth_cloth_shader, face);
    if (p->hat == HAT_CAP) draw_brim(face, canvas);
}
