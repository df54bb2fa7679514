/* SPDX-License-Identifier: Apache-2.0
 * What stands behind the person, and the clothes. */
#include <math.h>

#include "jobs/synth/face.h"

enum { DISCS = 14 };

static float disc_place(uint32_t noise, uint32_t disc, uint32_t what)
{
    return (float)(fsfm_synth_hash(noise, disc, what) >> 8) / 16777216.0f;
}

/* Lights out of focus. */
static fsfm_synth_colour discs(const fsfm_synth_backdrop *b, fsfm_synth_colour ground, float x, float y)
{
    for (uint32_t i = 0; i < DISCS; i++) {
        const float dx = x - disc_place(b->noise, i, 0), dy = y - disc_place(b->noise, i, 1);
        const float radius = 0.04f + 0.09f * disc_place(b->noise, i, 2);
        const float inside = 1.0f - fsfm_synth_step(0.8f * radius, radius, sqrtf(dx * dx + dy * dy));
        if (inside > 0.0f)
            ground = fsfm_synth_mix(ground, i % 2 ? b->third : b->second,
                                    inside * (0.25f + 0.5f * disc_place(b->noise, i, 3)));
    }
    return ground;
}

static fsfm_synth_colour bricks(const fsfm_synth_backdrop *b, float x, float y)
{
    const float rows = y * 9.0f * b->frequency, shift = fmodf(floorf(rows), 2.0f) * 0.5f;
    const float columns = x * 4.5f * b->frequency + shift;
    const float fx = columns - floorf(columns), fy = rows - floorf(rows);
    const float joint = fminf(fminf(fx, 1.0f - fx) * 2.0f, fminf(fy, 1.0f - fy));
    const float value =
        0.25f * fsfm_synth_noise(b->noise, floorf(columns) * 3.7f + 0.5f, floorf(rows) * 5.3f + 0.5f);
    const fsfm_synth_colour brick =
        fsfm_synth_scale(b->first, 0.95f + value + 0.12f * fsfm_synth_noise(b->noise, x * 60.0f, y * 60.0f));
    return fsfm_synth_mix(fsfm_synth_mix(b->second, b->first, 0.3f), brick,
                          fsfm_synth_step(0.02f, 0.09f, joint));
}

static fsfm_synth_colour garden(const fsfm_synth_backdrop *b, float x, float y)
{
    const float edge = 0.35f + 0.2f * fsfm_synth_clouds(b->noise, x * 4.0f, 0.5f, 3);
    const fsfm_synth_colour sky = fsfm_synth_mix((fsfm_synth_colour){0.55f, 0.74f, 0.93f},
                                                 (fsfm_synth_colour){0.9f, 0.94f, 0.97f}, y * 2.0f);
    const float leaf =
        fsfm_synth_clouds(b->noise + 7u, x * 14.0f * b->frequency, y * 14.0f * b->frequency, 4);
    const fsfm_synth_colour green =
        fsfm_synth_mix((fsfm_synth_colour){0.10f, 0.20f, 0.08f}, (fsfm_synth_colour){0.52f, 0.66f, 0.26f},
                       0.5f + 0.7f * leaf);
    return fsfm_synth_mix(sky, fsfm_synth_mix(green, b->third, 0.12f),
                          fsfm_synth_step(edge - 0.02f, edge + 0.02f, y));
}

/* A wall with a window or a picture on one side. */
static fsfm_synth_colour room(const fsfm_synth_backdrop *b, float x, float y)
{
    const float left = 0.05f + 0.5f * disc_place(b->noise, 1, 1),
                top = 0.05f + 0.2f * disc_place(b->noise, 2, 1);
    const float dx = fmaxf(left - x, x - left - 0.38f), dy = fmaxf(top - y, y - top - 0.42f),
                outside = fmaxf(dx, dy);
    fsfm_synth_colour wall = fsfm_synth_scale(b->first, 1.0f - 0.3f * x * cosf(b->angle) - 0.1f * y);
    wall = fsfm_synth_scale(wall, 1.0f + 0.05f * fsfm_synth_clouds(b->noise, x * 30.0f, y * 30.0f, 2));
    if (y > 0.8f) wall = fsfm_synth_scale(b->second, y < 0.815f ? 0.5f : 0.8f);
    if (outside > 0.025f) return wall;
    if (outside > 0.0f) return fsfm_synth_scale(b->third, 0.5f + 12.0f * outside);
    const float cloud = fsfm_synth_clouds(b->noise + 3u, x * 9.0f, y * 9.0f, 4);
    return fsfm_synth_mix(b->second, (fsfm_synth_colour){0.92f, 0.95f, 1.0f}, 0.5f + 0.9f * cloud);
}

static fsfm_synth_ink backdrop_shader(const void *context, float x, float y)
{
    const fsfm_synth_backdrop *b = &((const fsfm_synth_face *)context)->backdrop;
    const float c = cosf(b->angle), s = sinf(b->angle), turned = (x - 0.5f) * c + (y - 0.5f) * s;
    fsfm_synth_colour out = fsfm_synth_mix(b->first, b->second, 0.5f + turned);
    switch (b->kind) {
    case 0:
        out = fsfm_synth_scale(out, 1.0f + 0.06f * fsfm_synth_clouds(b->noise, x * 24.0f, y * 24.0f, 3));
        break;
    case 1:
        out = fsfm_synth_mix(b->first, b->second,
                             0.5f + 0.8f * fsfm_synth_clouds(b->noise, x * 4.0f * b->frequency, y * 4.0f, 4));
        break;
    case 2: out = discs(b, out, x, y); break;
    case 3:
        out = fsfm_synth_mix(b->first, b->second,
                             fsfm_synth_step(-0.15f, 0.15f, sinf(turned * 50.0f * b->frequency)) * 0.8f);
        break;
    case 4: out = bricks(b, x, y); break;
    case 5: out = garden(b, x, y); break;
    case 6: out = room(b, x, y); break;
    default: { /* a lamp on studio paper */
        const float dx = x - 0.5f - 0.2f * c, dy = y - 0.45f - 0.1f * s;
        out = fsfm_synth_scale(b->first, 1.25f - 1.3f * (dx * dx + dy * dy) +
                                             0.03f * fsfm_synth_noise(b->noise, x * 40.0f, y * 40.0f));
    }
    }
    return (fsfm_synth_ink){out, 1.0f};
}

void fsfm_synth_draw_backdrop(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    fsfm_synth_fill_all(canvas, backdrop_shader, face);
}

fsfm_synth_ink fsfm_synth_cloth_shader(const void *context, float x, float y)
{
    const fsfm_synth_face *face = context;
    const fsfm_synth_person *p = &face->person;
    const fsfm_synth_point at = fsfm_synth_unflat(face, x, y);
    const float fold = fsfm_synth_clouds(p->noise + 31u, at.x * 2.2f, at.y * 1.4f, 3);
    fsfm_synth_colour c = p->cloth;
    if (p->cloth_pattern == 1)
        c = fsfm_synth_mix(c, p->cloth_second, fsfm_synth_step(-0.1f, 0.1f, sinf(at.y * 26.0f + fold)));
    if (p->cloth_pattern == 2) {
        const float across = sinf(at.x * 17.0f + fold), down = sinf(at.y * 17.0f + fold);
        c = fsfm_synth_mix(c, p->cloth_second,
                           0.35f * fsfm_synth_step(-0.1f, 0.1f, across) +
                               0.35f * fsfm_synth_step(-0.1f, 0.1f, down));
    }
    const float weave = 0.05f * fsfm_synth_noise(p->noise + 5u, x * 220.0f, y * 220.0f);
    const float shade = fsfm_synth_lit(face, 0.55f * at.x + 0.5f * fold, -0.25f, 0.75f);
    return (fsfm_synth_ink){fsfm_synth_scale(c, shade * (1.0f + weave) + 0.10f * fold), 1.0f};
}

static fsfm_synth_ink neck_shader(const void *context, float x, float y)
{
    const fsfm_synth_face *face = context;
    const fsfm_synth_point at = fsfm_synth_unflat(face, x, y);
    const float nx = fsfm_synth_clamp(at.x * 1.9f, -0.95f, 0.95f);
    const float shadow = 0.58f + 0.34f * fsfm_synth_step(0.95f, 1.45f, at.y); /* of the chin */
    const float shade = fsfm_synth_lit(face, nx, 0.1f, sqrtf(1.0f - nx * nx)) * shadow;
    const float texture = 1.0f + 0.04f * fsfm_synth_noise(face->person.noise, at.x * 30.0f, at.y * 30.0f);
    return (fsfm_synth_ink){fsfm_synth_scale(face->person.skin, shade * texture), 1.0f};
}

void fsfm_synth_draw_body(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    const fsfm_synth_person *p = &face->person;
    const float turn = 0.10f * sinf(face->pose.yaw), neck = 0.34f + 0.12f * p->jaw;
    fsfm_synth_path path;
    const float dip = p->collar == 0 ? 1.28f : p->collar == 1 ? 1.75f : 1.45f;
    const fsfm_synth_point throat[] = {
        fsfm_synth_flat(face, turn - neck, 0.45f),
        fsfm_synth_flat(face, turn + neck, 0.45f),
        fsfm_synth_flat(face, turn + neck * 1.02f, 1.2f),
        fsfm_synth_flat(face, turn + 0.95f, 1.60f),
        fsfm_synth_flat(face, 0.0f, 3.2f),
        fsfm_synth_flat(face, turn - 0.95f, 1.60f),
        fsfm_synth_flat(face, turn - neck * 1.02f, 1.2f),
    };
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, throat, 7);
    fsfm_synth_fill(canvas, &path, SYNTH_BACKGROUND, neck_shader, face);
    const fsfm_synth_point shirt[] = {
        fsfm_synth_flat(face, -2.6f, 4.0f),
        fsfm_synth_flat(face, -2.0f, 1.75f),
        fsfm_synth_flat(face, -1.05f, 1.38f),
        fsfm_synth_flat(face, turn - neck * 1.12f, 1.16f),
        fsfm_synth_flat(face, turn * 0.8f - 0.05f, dip),
        fsfm_synth_flat(face, turn * 0.8f + 0.05f, dip),
        fsfm_synth_flat(face, turn + neck * 1.12f, 1.16f),
        fsfm_synth_flat(face, 1.05f, 1.38f),
        fsfm_synth_flat(face, 2.0f, 1.75f),
        fsfm_synth_flat(face, 2.6f, 4.0f),
    };
    fsfm_synth_path_clear(&path);
    fsfm_synth_path_smooth(&path, shirt, 10);
    fsfm_synth_fill(canvas, &path, SYNTH_BACKGROUND, fsfm_synth_cloth_shader, face);
}
