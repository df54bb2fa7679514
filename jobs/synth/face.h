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
    fsfm_synth_colour tint; /* of the light */
    float gaze_x, gaze_y;
    float mouth_open, smile; /* 0 .. 1; -1 .. 1 */
} fsfm_synth_pose;

typedef struct {
    uint32_t noise; /* seed of all textures */
    float width, jaw, chin, forehead, ear;
    fsfm_synth_colour skin, blush;
    float freckles, age, gloss;
    float eye_y, eye_x, eye_width, eye_height, eye_tilt, iris_size, lashes;
    fsfm_synth_colour iris, eye_shadow;
    float brow_y, brow_thick, brow_arch, brow_tilt;
    float nose_width, nose_y, nose_bridge, nose_lift;
    float mouth_y, mouth_width, lip_upper, lip_lower;
    fsfm_synth_colour lips, brows;
    hair_kind hair;
    fringe_kind fringe;
    fsfm_synth_colour hair_colour;
    float hair_volume, hairline, hair_length, hair_wave, hair_part;
    beard_kind beard;
    glasses_kind glasses;
    hat_kind hat;
    fsfm_synth_colour cloth, cloth_second, frame;
    int cloth_pattern, collar;
} fsfm_synth_person;

typedef struct {
    uint32_t noise;
    int kind;
    fsfm_synth_colour first, second, third;
    float angle, frequency;
    float contrast, exposure, saturation, vignette, grain;
} fsfm_synth_backdrop;

typedef struct {
    fsfm_synth_pose pose;
    fsfm_synth_person person;
    fsfm_synth_backdrop backdrop;
} fsfm_synth_face;

/* The face number index of a seed; series tells apart the draws for different uses. */
void fsfm_synth_face_choose(uint64_t seed, uint32_t series, uint64_t index, fsfm_synth_face *out);
/* Draws all of it; canvas holds the colours and the labels afterwards. */
void fsfm_synth_face_draw(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
/* Exposure, contrast and grain of the picture, to 8 bits: pixels (size, size, 3). */
void fsfm_synth_face_develop(const fsfm_synth_face *face, const fsfm_synth_canvas *canvas, uint8_t *pixels);

/* The parts; each draws one layer over those before. */
void fsfm_synth_draw_backdrop(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_hair_behind(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_body(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_head(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_beard(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_nose(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_mouth(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_eyes(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_brows(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_hair(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_glasses(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);
void fsfm_synth_draw_hat(const fsfm_synth_face *face, fsfm_synth_canvas *canvas);

/* A point of the face's surface, raised by lift, in the picture. */
fsfm_synth_point fsfm_synth_place(const fsfm_synth_face *face, float x, float y, float lift);
/* A point in the plane of the picture: turned by roll, scaled and moved only. */
fsfm_synth_point fsfm_synth_flat(const fsfm_synth_face *face, float x, float y);
/* Back: from the picture to that plane. */
fsfm_synth_point fsfm_synth_unflat(const fsfm_synth_face *face, float x, float y);
/* Brightness of a surface with this normal. */
float fsfm_synth_lit(const fsfm_synth_face *face, float nx, float ny, float nz);
/* Skin at a point of the plane of fsfm_synth_flat, without the features. */
fsfm_synth_colour fsfm_synth_skin_at(const fsfm_synth_face *face, fsfm_synth_point at);
/* Cloth of the body, hats and scarves. */
fsfm_synth_ink fsfm_synth_cloth_shader(const void *face, float x, float y);
fsfm_synth_ink fsfm_synth_hair_shader(const void *face, float x, float y);
#endif
