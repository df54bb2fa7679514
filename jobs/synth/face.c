/* SPDX-License-Identifier: Apache-2.0
 * Where points of a head lie in the picture, the order of the layers, and the developing to 8 bits. */
#include "jobs/synth/face.h"

#include <math.h>

/* Half axes of the ellipsoid that stands for the front of a head. */
static const float AXIS_X = 1.12f, AXIS_Y = 1.12f, DEPTH = 0.60f; /* AXIS_X times the head's half width */

fsfm_synth_point fsfm_synth_flat(const fsfm_synth_face *face, float x, float y)
{
    const fsfm_synth_pose *pose = &face->pose;
    const float c = cosf(pose->roll) * pose->scale, s = sinf(pose->roll) * pose->scale;
    return (fsfm_synth_point){pose->cx + c * x - s * y, pose->cy + s * x + c * y};
}

fsfm_synth_point fsfm_synth_unflat(const fsfm_synth_face *face, float x, float y)
{
    const fsfm_synth_pose *pose = &face->pose;
    const float c = cosf(pose->roll) / pose->scale, s = sinf(pose->roll) / pose->scale;
    const float dx = x - pose->cx, dy = y - pose->cy;
    return (fsfm_synth_point){c * dx + s * dy, -s * dx + c * dy};
}

/* A turned head is not narrower: it is about as deep as it is wide, hence the factor on x. */
fsfm_synth_point fsfm_synth_place(const fsfm_synth_face *face, float x, float y, float lift)
{
    const fsfm_synth_pose *pose = &face->pose;
    const float u = x / (AXIS_X * face->person.width), v = y / AXIS_Y;
    const float z = DEPTH * sqrtf(fmaxf(0.0f, 1.0f - u * u - v * v)) + lift;
    const float sy = sinf(pose->yaw), cy = cosf(pose->yaw), sp = sinf(pose->pitch), cp = cosf(pose->pitch);
    const float wide = cy + 0.30f * fabsf(sy) * (u * u);
    return fsfm_synth_flat(face, x * wide + (z - 0.18f) * sy, y * cp + (z - 0.18f) * sp);
}

float fsfm_synth_lit(const fsfm_synth_face *face, float nx, float ny, float nz)
{
    const fsfm_synth_pose *pose = &face->pose;
    const float facing = nx * pose->light[0] + ny * pose->light[1] + nz * pose->light[2];
    /* Half of the way around the edge is lit as well: skin and hair scatter. */
    const float wrapped = fmaxf(0.0f, (facing + 0.35f) / 1.35f);
    return pose->ambient + pose->key * wrapped;
}

void fsfm_synth_face_draw(const fsfm_synth_face *face, fsfm_synth_canvas *canvas)
{
    for (size_t i = 0; i < (size_t)canvas->size * (size_t)canvas->size; i++)
        canvas->label[i] = SYNTH_BACKGROUND;
    fsfm_synth_draw_backdrop(face, canvas);
    fsfm_synth_draw_hair_behind(face, canvas);
    fsfm_synth_draw_body(face, canvas);
    fsfm_synth_draw_head(face, canvas);
    fsfm_synth_draw_beard(face, canvas);
    fsfm_synth_draw_mouth(face, canvas);
    fsfm_synth_draw_nose(face, canvas);
    fsfm_synth_draw_eyes(face, canvas);
    fsfm_synth_draw_brows(face, canvas);
    fsfm_synth_draw_hair(face, canvas);
    fsfm_synth_draw_glasses(face, canvas);
    fsfm_synth_draw_hat(face, canvas);
}

static uint8_t to_u8(float value)
{
    return (uint8_t)(fsfm_synth_clamp(value, 0.0f, 1.0f) * 255.0f + 0.5f);
}

void fsfm_synth_face_develop(const fsfm_synth_face *face, const fsfm_synth_canvas *canvas, uint8_t *pixels)
{
    const fsfm_synth_backdrop *b = &face->backdrop;
    const int size = canvas->size;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            const size_t i = (size_t)y * (size_t)size + (size_t)x;
            const float dx = ((float)x + 0.5f) / (float)size - 0.5f,
                        dy = ((float)y + 0.5f) / (float)size - 0.5f;
            const float light = b->exposure * (1.0f - b->vignette * 1.6f * (dx * dx + dy * dy));
            const float *rgb = canvas->rgb + 3 * i;
            const float grey = 0.3f * rgb[0] + 0.59f * rgb[1] + 0.11f * rgb[2];
            for (int c = 0; c < 3; c++) {
                const uint32_t h = fsfm_synth_hash(b->noise, (uint32_t)x, (uint32_t)y);
                const float grain = ((float)(h & 1023) + (float)(h >> 10 & 1023) - 1023.0f) / 1023.0f;
                const float coloured = (grey + (rgb[c] - grey) * b->saturation) * light;
                pixels[3 * i + (size_t)c] =
                    to_u8(0.5f + (coloured - 0.5f) * b->contrast + b->grain * 2.0f * grain);
            }
        }
}
