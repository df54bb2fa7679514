/* SPDX-License-Identifier: Apache-2.0
 * Textures: noise on a lattice of hashed values, and the small arithmetic of colours. */
#include <math.h>

#include "jobs/synth/canvas.h"

fsfm_synth_colour fsfm_synth_mix(fsfm_synth_colour a, fsfm_synth_colour b, float share_of_b)
{
    const float s = fsfm_synth_clamp(share_of_b, 0.0f, 1.0f);
    return (fsfm_synth_colour){a.r + (b.r - a.r) * s, a.g + (b.g - a.g) * s, a.b + (b.b - a.b) * s};
}

fsfm_synth_colour fsfm_synth_scale(fsfm_synth_colour a, float factor)
{
    return (fsfm_synth_colour){a.r * factor, a.g * factor, a.b * factor};
}

float fsfm_synth_clamp(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

float fsfm_synth_step(float low, float high, float value)
{
    const float t = fsfm_synth_clamp((value - low) / (high - low), 0.0f, 1.0f);
    return t * t * (3.0f - 2.0f * t);
}

uint32_t fsfm_synth_hash(uint32_t seed, uint32_t x, uint32_t y)
{
    uint32_t h = seed ^ x * 0x9E3779B1u ^ (y * 0x85EBCA77u + 0x165667B1u);
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    h = (h ^ h >> 12) * 0x297A2D39u;
    return h ^ h >> 15;
}

static float lattice(uint32_t seed, int x, int y)
{
    return (float)(fsfm_synth_hash(seed, (uint32_t)x, (uint32_t)y) >> 8) * (2.0f / 16777216.0f) - 1.0f;
}

float fsfm_synth_noise(uint32_t seed, float x, float y)
{
    const float fx = floorf(x), fy = floorf(y);
    const int ix = (int)fx, iy = (int)fy;
    float u = x - fx, v = y - fy;
    u = u * u * (3.0f - 2.0f * u);
    v = v * v * (3.0f - 2.0f * v);
    const float a = lattice(seed, ix, iy), b = lattice(seed, ix + 1, iy);
    const float c = lattice(seed, ix, iy + 1), d = lattice(seed, ix + 1, iy + 1);
    const float top = a + (b - a) * u, bottom = c + (d - c) * u;
    return top + (bottom - top) * v;
}

float fsfm_synth_clouds(uint32_t seed, float x, float y, int octaves)
{
    float sum = 0.0f, weight = 0.6f;
    for (int octave = 0; octave < octaves; octave++) {
        sum += weight * fsfm_synth_noise(seed + (uint32_t)octave * 101u, x, y);
        x = 2.03f * x + 17.3f;
        y = 2.03f * y + 9.1f;
        weight *= 0.5f;
    }
    return sum;
}
