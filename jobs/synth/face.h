/* SPDX-License-Identifier: Apache-2.0
 * jobs/synth/face.h - one drawn face: what varies, and the parts that draw it.
 *
 * Head coordinates: x to the right of the picture, y down, the chin at (0, 1), the top of the skull at (0,
 * -1), z towards the viewer. A point of the face lies on an ellipsoid, is turned by yaw and pitch, then by
 * roll, and scaled. */
#ifndef FSFM_JOBS_SYNTH_FACE_H
#define FSFM_JOBS_SYNTH_FACE_H

#include <stdbool.h>

#include "jobs/synth/canvas.h"

enum { /* LaPa-11 */
       SYNTH_BACKGROUND,
       SYNTH_SKIN,
       SYNTH_BROW_LEFT, /* left and right as seen in the picture */
       SYNTH_BROW_RIGHT,
       SYNTH_EYE_LEFT,
       SYNTH_EYE_RIGHT,
       SYNTH_NOSE,
       SYNTH_LIP_UPPER,
       SYNTH_MOUTH,
       SYNTH_LIP_LOWER,
       SYNTH_HAIR
};

typedef enum {
    HAIR_BALD,
    HAIR_RING,
    HAIR_BUZZ,
    HAIR_SHORT,
    HAIR_CURLY,
    HAIR_BOB,
    HAIR_LONG,
    HAIR_BUN,
    HAIR_AFRO,
    HAIR_KINDS
} hair_kind;
typedef enum { FRINGE_BACK, FRINGE_SIDE, FRINGE_CENTRE, FRINGE_BANGS, FRINGE_KINDS } fringe_kind;
typedef enum { HAT_NONE, HAT_BEANIE, HAT_CAP, HAT_SCARF } hat_kind;
typedef enum { BEARD_NONE, BEARD_STUBBLE, BEARD_MOUSTACHE, BEARD_GOATEE, BEARD_FULL } beard_kind;
typedef enum { GLASSES_NONE, GLASSES_ROUND, GLASSES_SQUARE } glasses_kind;
enum { BACKDROP_KINDS = 8 };

/* Where the head is, and the light on it: what two people in the same picture would share. */
typedef struct {
    float cx, cy, scale; /* centre and half height of the head, in units of the picture's side */
    float yaw, pitch, roll;
    float light[3]; /* towards the light, of length 1 */
    float ambient, key;
    synth_colour tint; /* of the light */
    float gaze_x, gaze_y;
    float mouth_open, smile; /* 0 .. 1; -1 .. 1 */
} synth_pose;

typedef struct {
    uint32_t noise; /* seed of all textures */
    float width, jaw, chin, forehead, ear;
    synth_colour skin, blush;
    float freckles, age, gloss;
    float eye_y, eye_x, eye_width, eye_height, eye_tilt, iris_size, lashes;
    synth_colour iris, eye_shadow;
    float brow_y, brow_thick, brow_arch, brow_tilt;
    float nose_width, nose_y, nose_bridge, nose_lift;
    float mouth_y, mouth_width, lip_upper, lip_lower;
    synth_colour lips, brows;
    hair_kind hair;
    fringe_kind fringe;
    synth_colour hair_colour;
    float hair_volume, hairline, hair_length, hair_wave, hair_part;
    beard_kind beard;
    glasses_kind glasses;
    hat_kind hat;
    synth_colour cloth, cloth_second, frame;
    int cloth_pattern, collar;
} synth_person;

typedef struct {
    uint32_t noise;
    int kind;
    synth_colour first, second, third;
    float angle, frequency;
    float contrast, exposure, saturation, vignette, grain;
} synth_backdrop;

typedef struct {
    synth_pose pose;
    synth_person person;
    synth_backdrop backdrop;
} synth_face;

/* The face number index of a seed; series tells apart the draws for different uses. */
void synth_face_choose(uint64_t seed, uint32_t series, uint64_t index, synth_face *out);
/* Draws all of it; canvas holds the colours and the labels afterwards. */
void synth_face_draw(const synth_face *face, synth_canvas *canvas);
/* Exposure, contrast and grain of the picture, to 8 bits: pixels (size, size, 3). */
void synth_face_develop(const synth_face *face, const synth_canvas *canvas, uint8_t *pixels);

/* The parts; each draws one layer over those before. */
void synth_draw_backdrop(const synth_face *face, synth_canvas *canvas);
void synth_draw_hair_behind(const synth_face *face, synth_canvas *canvas);
void synth_draw_body(const synth_face *face, synth_canvas *canvas);
void synth_draw_head(const synth_face *face, synth_canvas *canvas);
void synth_draw_beard(const synth_face *face, synth_canvas *canvas);
void synth_draw_nose(const synth_face *face, synth_canvas *canvas);
void synth_draw_mouth(const synth_face *face, synth_canvas *canvas);
void synth_draw_eyes(const synth_face *face, synth_canvas *canvas);
void synth_draw_brows(const synth_face *face, synth_canvas *canvas);
void synth_draw_hair(const synth_face *face, synth_canvas *canvas);
void synth_draw_glasses(const synth_face *face, synth_canvas *canvas);
void synth_draw_hat(const synth_face *face, synth_canvas *canvas);

/* A point of the face's surface, raised by lift, in the picture. */
synth_point synth_place(const synth_face *face, float x, float y, float lift);
/* A point in the plane of the picture: turned by roll, scaled and moved only. */
synth_point synth_flat(const synth_face *face, float x, float y);
/* Back: from the picture to that plane. */
synth_point synth_unflat(const synth_face *face, float x, float y);
/* Brightness of a surface with this normal. */
float synth_lit(const synth_face *face, float nx, float ny, float nz);
/* Skin at a point of the plane of synth_flat, without the features. */
synth_colour synth_skin_at(const synth_face *face, synth_point at);
/* Cloth of the body, hats and scarves. */
synth_ink synth_cloth_shader(const void *face, float x, float y);
synth_ink synth_hair_shader(const void *face, float x, float y);
#endif
