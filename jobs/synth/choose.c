/* SPDX-License-Identifier: Apache-2.0
 * What varies from face to face, drawn from one stream a face. */
#include <math.h>

#include "core/base/random.h"
#include "jobs/synth/face.h"

static float between(fsfm_random *random, float low, float high)
{
    return low + (high - low) * (float)fsfm_random_double(random);
}

static bool chance(fsfm_random *random, float share)
{
    return fsfm_random_double(random) < (double)share;
}

/* Most values near 0, few near +-limit. */
static float around(fsfm_random *random, float deviation, float limit)
{
    return fsfm_synth_clamp(deviation * (float)fsfm_random_normal(random), -limit, limit);
}

static int pick(fsfm_random *random, int count)
{
    return (int)fsfm_random_below(random, (uint32_t)count);
}

static fsfm_synth_colour hsv(float hue, float saturation, float value)
{
    const float h = hue - floorf(hue), k = saturation * value;
    const float r = fsfm_synth_clamp(fabsf(h * 6.0f - 3.0f) - 1.0f, 0.0f, 1.0f);
    const float g = fsfm_synth_clamp(2.0f - fabsf(h * 6.0f - 2.0f), 0.0f, 1.0f);
    const float b = fsfm_synth_clamp(2.0f - fabsf(h * 6.0f - 4.0f), 0.0f, 1.0f);
    return (fsfm_synth_colour){value - k + k * r, value - k + k * g, value - k + k * b};
}

static fsfm_synth_colour any_colour(fsfm_random *random, float saturation, float low, float high)
{
    const float hue = between(random, 0.0f, 1.0f), s = saturation * between(random, 0.1f, 1.0f);
    return hsv(hue, s, between(random, low, high));
}

/* A point on the line of colours through stops, moved a little. */
static fsfm_synth_colour along(fsfm_random *random, const fsfm_synth_colour *stops, int count)
{
    const float place = between(random, 0.0f, (float)count - 1.001f);
    const int i = (int)place;
    const fsfm_synth_colour c = fsfm_synth_mix(stops[i], stops[i + 1], place - (float)i);
    const float value = between(random, 0.94f, 1.06f), warm = between(random, -0.02f, 0.02f);
    return (fsfm_synth_colour){c.r * value + warm, c.g * value, c.b * value - warm};
}

static void choose_pose(fsfm_random *random, fsfm_synth_pose *pose)
{
    pose->scale = between(random, 0.36f, 0.47f);
    pose->cx = 0.5f + around(random, 0.03f, 0.07f);
    pose->cy = 0.52f + around(random, 0.025f, 0.06f);
    pose->yaw = around(random, 0.24f, 0.62f);
    pose->pitch = around(random, 0.10f, 0.25f);
    pose->roll = around(random, 0.10f, 0.32f);
    const float side = between(random, -1.1f, 1.1f), up = between(random, -0.15f, 0.9f);
    pose->light[0] = sinf(side) * cosf(up);
    pose->light[1] = -sinf(up);
    pose->light[2] = cosf(side) * cosf(up);
    pose->ambient = between(random, 0.30f, 0.62f);
    pose->key = between(random, 0.55f, 0.85f);
    const float warm = between(random, -0.07f, 0.09f);
    pose->tint = (fsfm_synth_colour){1.0f + warm, 1.0f, 1.0f - warm};
    pose->gaze_x = around(random, 0.25f, 0.6f);
    pose->gaze_y = around(random, 0.12f, 0.3f);
    pose->mouth_open = chance(random, 0.45f) ? between(random, 0.12f, 1.0f) : 0.0f;
    pose->smile = between(random, -0.35f, 1.0f);
}

static void choose_head(fsfm_random *random, fsfm_synth_person *p)
{
    static const fsfm_synth_colour skins[] = {
        {0.98f, 0.86f, 0.78f}, {0.95f, 0.78f, 0.67f}, {0.90f, 0.71f, 0.57f}, {0.80f, 0.59f, 0.44f},
        {0.64f, 0.44f, 0.31f}, {0.47f, 0.31f, 0.22f}, {0.34f, 0.22f, 0.16f}};
    p->width = between(random, 0.70f, 0.82f);
    p->jaw = between(random, 0.70f, 0.90f);
    p->chin = between(random, 0.26f, 0.42f);
    p->forehead = between(random, 0.84f, 0.97f);
    p->ear = between(random, 0.8f, 1.25f);
    p->skin = along(random, skins, 7);
    p->blush =
        fsfm_synth_mix(p->skin, (fsfm_synth_colour){0.85f, 0.30f, 0.28f}, between(random, 0.10f, 0.45f));
    p->freckles = chance(random, 0.2f) ? between(random, 0.3f, 1.0f) : 0.0f;
    p->age = chance(random, 0.4f) ? between(random, 0.2f, 1.0f) : between(random, 0.0f, 0.15f);
    p->gloss = between(random, 0.05f, 0.28f);
}

static void choose_features(fsfm_random *random, fsfm_synth_person *p, bool made_up)
{
    static const fsfm_synth_colour irises[] = {{0.20f, 0.11f, 0.06f}, {0.36f, 0.21f, 0.10f},
                                               {0.45f, 0.38f, 0.16f}, {0.30f, 0.45f, 0.28f},
                                               {0.38f, 0.52f, 0.62f}, {0.25f, 0.42f, 0.68f}};
    p->eye_y = between(random, -0.06f, 0.05f);
    p->eye_x = between(random, 0.30f, 0.355f);
    p->eye_width = between(random, 0.145f, 0.19f);
    p->eye_height = between(random, 0.050f, 0.095f);
    p->eye_tilt = between(random, -0.10f, 0.16f);
    p->iris_size = between(random, 0.068f, 0.086f);
    p->lashes = made_up ? between(random, 0.5f, 1.0f) : between(random, 0.1f, 0.5f);
    p->iris = along(random, irises, 6);
    p->eye_shadow = made_up ? any_colour(random, 0.6f, 0.3f, 0.7f) : fsfm_synth_scale(p->skin, 0.72f);
    p->brow_y = between(random, 0.17f, 0.25f);
    p->brow_thick = between(random, 0.045f, made_up ? 0.07f : 0.105f);
    p->brow_arch = between(random, 0.0f, 0.08f);
    p->brow_tilt = between(random, -0.04f, 0.06f);
    p->nose_width = between(random, 0.12f, 0.205f);
    p->nose_y = between(random, 0.33f, 0.43f);
    p->nose_bridge = between(random, 0.050f, 0.085f);
    p->nose_lift = between(random, 0.12f, 0.24f);
    p->mouth_y = p->nose_y + between(random, 0.21f, 0.27f);
    p->mouth_width = between(random, 0.21f, 0.32f);
    p->lip_upper = between(random, 0.035f, 0.075f);
    p->lip_lower = between(random, 0.050f, 0.095f);
    const fsfm_synth_colour plain =
        fsfm_synth_mix(fsfm_synth_scale(p->skin, 0.85f), (fsfm_synth_colour){0.72f, 0.28f, 0.28f}, 0.45f);
    p->lips = made_up
                  ? fsfm_synth_mix(hsv(between(random, -0.07f, 0.04f), 0.75f, between(random, 0.45f, 0.85f)),
                                   plain, 0.25f)
                  : plain;
}

static void choose_hair(fsfm_random *random, fsfm_synth_person *p, bool is_feminine)
{
    static const fsfm_synth_colour hairs[] = {{0.06f, 0.05f, 0.05f}, {0.13f, 0.09f, 0.07f},
                                              {0.26f, 0.16f, 0.10f}, {0.42f, 0.26f, 0.14f},
                                              {0.62f, 0.43f, 0.24f}, {0.83f, 0.67f, 0.42f}};
    static const fsfm_synth_colour others[] = {
        {0.55f, 0.20f, 0.08f}, {0.72f, 0.70f, 0.68f}, {0.90f, 0.89f, 0.87f}};
    static const hair_kind masculine[] = {HAIR_BALD,  HAIR_RING,  HAIR_BUZZ, HAIR_SHORT, HAIR_SHORT,
                                          HAIR_SHORT, HAIR_CURLY, HAIR_BOB,  HAIR_AFRO,  HAIR_BUZZ};
    static const hair_kind feminine[] = {HAIR_SHORT, HAIR_CURLY, HAIR_BOB, HAIR_BOB,  HAIR_LONG,
                                         HAIR_LONG,  HAIR_LONG,  HAIR_BUN, HAIR_AFRO, HAIR_LONG};
    p->hair_colour = along(random, hairs, 6);
    if (chance(random, 0.2f)) p->hair_colour = others[pick(random, 3)];
    if (chance(random, 0.02f)) p->hair_colour = any_colour(random, 0.9f, 0.4f, 0.8f);
    p->hair = is_feminine ? feminine[pick(random, 10)] : masculine[pick(random, 10)];
    p->fringe = (fringe_kind)pick(random, FRINGE_KINDS);
    p->hairline = between(random, -0.68f, -0.54f) - (p->hair == HAIR_RING ? 0.2f : 0.0f);
    p->hair_volume = between(random, 0.07f, 0.20f);
    p->hair_length = p->hair == HAIR_LONG ? between(random, 1.1f, 1.9f) : between(random, 0.45f, 0.95f);
    p->hair_wave = chance(random, 0.5f) ? between(random, 0.2f, 1.0f) : 0.0f;
    p->hair_part = between(random, -0.4f, 0.4f);
    p->brows = fsfm_synth_mix(fsfm_synth_scale(p->hair_colour, 0.75f),
                              (fsfm_synth_colour){0.16f, 0.11f, 0.08f}, 0.4f);
    const float beard = between(random, 0.0f, 1.0f);
    p->beard = is_feminine || beard < 0.40f ? BEARD_NONE
               : beard < 0.58f              ? BEARD_STUBBLE
               : beard < 0.68f              ? BEARD_MOUSTACHE
               : beard < 0.80f              ? BEARD_GOATEE
                                            : BEARD_FULL;
    p->glasses =
        chance(random, 0.2f) ? (chance(random, 0.5f) ? GLASSES_ROUND : GLASSES_SQUARE) : GLASSES_NONE;
    const float hat = between(random, 0.0f, 1.0f);
    p->hat = hat < 0.05f ? HAT_BEANIE : hat < 0.10f ? HAT_CAP : hat < 0.13f ? HAT_SCARF : HAT_NONE;
    p->cloth = any_colour(random, 0.8f, 0.12f, 0.9f);
    p->cloth_second = any_colour(random, 0.7f, 0.2f, 0.95f);
    p->cloth_pattern = pick(random, 4);
    p->collar = pick(random, 3);
    p->frame = chance(random, 0.6f) ? (fsfm_synth_colour){0.08f, 0.07f, 0.08f}
                                    : any_colour(random, 0.7f, 0.2f, 0.7f);
}

static void choose_backdrop(fsfm_random *random, fsfm_synth_backdrop *b)
{
    b->noise = fsfm_random_u32(random);
    b->kind = pick(random, BACKDROP_KINDS);
    b->first = any_colour(random, 0.45f, 0.15f, 0.95f);
    b->second = any_colour(random, 0.45f, 0.15f, 0.95f);
    b->third = any_colour(random, 0.7f, 0.3f, 1.0f);
    b->angle = between(random, 0.0f, 6.28f);
    b->frequency = between(random, 0.6f, 1.6f);
    b->contrast = between(random, 0.88f, 1.15f);
    b->exposure = between(random, 0.88f, 1.10f);
    b->saturation = chance(random, 0.07f) ? 0.0f : between(random, 0.75f, 1.1f);
    b->vignette = between(random, 0.0f, 0.35f);
    b->grain = between(random, 0.002f, 0.012f);
}

void fsfm_synth_face_choose(uint64_t seed, uint32_t series, uint64_t index, fsfm_synth_face *out)
{
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_SYNTH, series, index);
    *out = (fsfm_synth_face){.person.noise = fsfm_random_u32(&random)};
    const bool is_feminine = chance(&random, 0.5f), made_up = is_feminine && chance(&random, 0.6f);
    choose_pose(&random, &out->pose);
    choose_head(&random, &out->person);
    choose_features(&random, &out->person, made_up);
    choose_hair(&random, &out->person, is_feminine);
    choose_backdrop(&random, &out->backdrop);
}
