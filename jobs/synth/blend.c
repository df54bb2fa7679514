/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/synth/blend.h"

#include <math.h>
#include <string.h>

#include "core/base/random.h"

/* Series of faces: pictures of other purposes share no face. */
enum { SERIES_TARGET = 2, SERIES_DONOR = 3, SERIES_CHOICE = 4, REGIONS = 6 };

/* Labels of each region, as bits; 0: the middle of the face as one patch. */
static const unsigned region_labels[REGIONS] = {
    1u << SYNTH_EYE_LEFT | 1u << SYNTH_EYE_RIGHT,
    1u << SYNTH_EYE_LEFT | 1u << SYNTH_EYE_RIGHT | 1u << SYNTH_BROW_LEFT | 1u << SYNTH_BROW_RIGHT,
    1u << SYNTH_NOSE,
    1u << SYNTH_LIP_UPPER | 1u << SYNTH_MOUTH | 1u << SYNTH_LIP_LOWER,
    1u << SYNTH_NOSE | 1u << SYNTH_LIP_UPPER | 1u << SYNTH_MOUTH | 1u << SYNTH_LIP_LOWER,
    0,
};

/* The other person's head in the place of the first: hair, hat and glasses stay, so that nothing stands in
 * the way. */
static void take_place(const fsfm_synth_face *target, fsfm_synth_face *donor, fsfm_random *random)
{
    const float open = donor->pose.mouth_open, smile = donor->pose.smile;
    const fsfm_synth_person *p = &target->person;
    donor->pose = target->pose;
    donor->pose.mouth_open = open;
    donor->pose.smile = smile;
    donor->pose.cx += 0.008f * ((float)fsfm_random_double(random) - 0.5f);
    donor->pose.cy += 0.008f * ((float)fsfm_random_double(random) - 0.5f);
    donor->pose.yaw += 0.10f * ((float)fsfm_random_double(random) - 0.5f);
    donor->pose.ambient += 0.10f * ((float)fsfm_random_double(random) - 0.5f);
    donor->person.glasses = p->glasses;
    donor->person.frame = p->frame;
    donor->person.hat = p->hat;
    donor->person.hair = p->hair;
    donor->person.fringe = p->fringe;
    donor->person.hairline = p->hairline;
    donor->person.hair_part = p->hair_part;
    donor->person.hair_colour = p->hair_colour;
    donor->backdrop = target->backdrop;
}

static float of_region(const fsfm_synth_face *face, const fsfm_synth_canvas *canvas, unsigned labels, int x,
                       int y)
{
    const size_t i = (size_t)y * (size_t)canvas->size + (size_t)x;
    if (labels) return (float)(labels >> canvas->label[i] & 1u);
    const float side = (float)canvas->size;
    const fsfm_synth_point middle = fsfm_synth_place(face, 0.0f, 0.22f, 0.0f),
                           centre = fsfm_synth_unflat(face, middle.x, middle.y);
    const fsfm_synth_point at = fsfm_synth_unflat(face, ((float)x + 0.5f) / side, ((float)y + 0.5f) / side);
    const float dx = (at.x - centre.x) / 0.50f, dy = (at.y - centre.y) / 0.60f;
    return canvas->label[i] != SYNTH_BACKGROUND && canvas->label[i] != SYNTH_HAIR && dx * dx + dy * dy < 1.0f
               ? 1.0f
               : 0.0f;
}

/* Mean over 2 radius + 1 values along each row, step apart; line (size) is scratch. */
static void smooth_lines(float *values, int size, size_t step, size_t next, int radius, float *line)
{
    for (int i = 0; i < size; i++) {
        float *at = values + (size_t)i * next, sum = 0.0f;
        for (int k = 0; k < size; k++) line[k] = at[(size_t)k * step];
        for (int k = -radius; k < size; k++) {
            if (k + radius < size) sum += line[k + radius];
            if (k - radius - 1 >= 0) sum -= line[k - radius - 1];
            if (k >= 0) at[(size_t)k * step] = sum / (float)(2 * radius + 1);
        }
    }
}

static void make_share(const fsfm_synth_face *face, const fsfm_synth_canvas *canvas, unsigned labels,
                       int radius, float *share)
{
    const int size = canvas->size;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            share[(size_t)y * (size_t)size + (size_t)x] = of_region(face, canvas, labels, x, y);
    for (int pass = 0; pass < 2; pass++) {
        smooth_lines(share, size, 1, (size_t)size, radius, canvas->cover);
        smooth_lines(share, size, (size_t)size, 1, radius, canvas->cover);
    }
    for (size_t i = 0; i < (size_t)size * (size_t)size; i++)
        share[i] = fsfm_synth_step(0.04f, 0.45f, share[i]);
    memset(canvas->cover, 0, ((size_t)size + 2) * sizeof *canvas->cover); /* fills expect it empty */
}

/* Moves other's mean colour under the mask most of the way to that of the target, and then a little off. */
static void mix_in(fsfm_synth_canvas *target, const fsfm_synth_canvas *other, const float *share,
                   fsfm_random *random)
{
    const size_t pixels = (size_t)target->size * (size_t)target->size;
    for (int c = 0; c < 3; c++) {
        double sum = 0.0, weight = 1e-9;
        for (size_t i = 0; i < pixels; i++) {
            sum += (double)(share[i] * (target->rgb[3 * i + (size_t)c] - other->rgb[3 * i + (size_t)c]));
            weight += (double)share[i];
        }
        const float off = 0.07f * ((float)fsfm_random_double(random) - 0.5f),
                    shift = 0.8f * (float)(sum / weight) + off;
        for (size_t i = 0; i < pixels; i++) {
            float *value = target->rgb + 3 * i + (size_t)c;
            *value += share[i] * (other->rgb[3 * i + (size_t)c] + shift - *value);
        }
    }
}

void fsfm_synth_fake_draw(uint64_t seed, uint64_t index, fsfm_synth_canvas *target, fsfm_synth_canvas *other,
                          float *share, fsfm_synth_face *out)
{
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_SYNTH, SERIES_CHOICE, index);
    fsfm_synth_face donor;
    fsfm_synth_face_choose(seed, SERIES_TARGET, index, out);
    fsfm_synth_face_choose(seed, SERIES_DONOR, index, &donor);
    take_place(out, &donor, &random);
    fsfm_synth_face_draw(out, target);
    fsfm_synth_face_draw(&donor, other);
    const unsigned labels = region_labels[fsfm_random_below(&random, REGIONS)];
    const float feather = (0.010f + 0.014f * (float)fsfm_random_double(&random)) * (float)target->size;
    make_share(out, target, labels, 1 + (int)feather, share);
    mix_in(target, other, share, &random);
}
