/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/transpose.h - matrices of words turned round, in square blocks of VW. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_TRANSPOSE_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_TRANSPOSE_H

#include "core/device/cpu/kernels/words.h"

/* The numbers lane(0, s) .. lane(VW - 1, s). */
#define LANES_4(lane, from, s) lane(from, s), lane(from + 1, s), lane(from + 2, s), lane(from + 3, s)
#if VW == 16
#define LANES(lane, s) LANES_4(lane, 0, s), LANES_4(lane, 4, s), LANES_4(lane, 8, s), LANES_4(lane, 12, s)
#elif VW == 8
#define LANES(lane, s) LANES_4(lane, 0, s), LANES_4(lane, 4, s)
#else
#define LANES(lane, s) LANES_4(lane, 0, s)
#endif
#define UPPER_LANE(l, s) ((l) & (s) ? VW + (l) - (s) : (l))
#define LOWER_LANE(l, s) ((l) & (s) ? VW + (l) : (l) + (s))

/* Rows i and i + s, for all i that have no bit s, exchange the blocks of s lanes off the diagonal. */
#define EXCHANGE(row, s)                                                      \
    UNROLL for (int i = 0; i < VW; i++) if (!(i & (s)))                       \
    {                                                                         \
        const vu a = (row)[i], b = (row)[i + (s)];                            \
        (row)[i] = __builtin_shufflevector(a, b, LANES(UPPER_LANE, s));       \
        (row)[i + (s)] = __builtin_shufflevector(a, b, LANES(LOWER_LANE, s)); \
    }

/* out (columns, VW), rows of width, = x (rows, columns) turned round, with zeros for the rows that are not
 * there; rows, columns <= VW. */
ALWAYS_INLINE void transpose_block(const word *x, int64_t stride, int64_t rows, int64_t columns, word *out,
                                   int64_t width)
{
    vu row[VW];
    UNROLL for (int i = 0; i < VW; i++)
    {
        if (i >= rows)
            row[i] = (vu){0};
        else if (columns == VW)
            row[i] = words_load(x + i * stride);
        else
            row[i] = (vu)vf_load_part((const float *)(const void *)(x + i * stride), columns);
    }
    EXCHANGE(row, 1)
    EXCHANGE(row, 2)
#if VW >= 8
    EXCHANGE(row, 4)
#endif
#if VW >= 16
    EXCHANGE(row, 8)
#endif
    UNROLL for (int i = 0; i < VW; i++) if (i < columns) words_store(out + i * width, row[i]);
}

#if VW == 16

/* Four times 16 bytes, far_bytes apart, as the lanes of a vector. Such loads leave the unit that shuffles to
 * the shuffles. */
ALWAYS_INLINE __m512i lanes_load(const void *x, int64_t far_bytes)
{
    const char *at = (const char *)x;
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i_u *)at));
    v = _mm512_mask_broadcast_i32x4(v, 0x00F0, _mm_loadu_si128((const __m128i_u *)(at + far_bytes)));
    v = _mm512_mask_broadcast_i32x4(v, 0x0F00, _mm_loadu_si128((const __m128i_u *)(at + 2 * far_bytes)));
    return _mm512_mask_broadcast_i32x4(v, 0xF000, _mm_loadu_si128((const __m128i_u *)(at + 3 * far_bytes)));
}

/* A whole block: lane l of a vector gets words of row 4 l + r, so that lanes have only to be turned. */
ALWAYS_INLINE void transpose_whole(const word *x, int64_t stride, word *out, int64_t width)
{
    const int64_t far_bytes = 4 * stride * (int64_t)sizeof *x;
    UNROLL for (int q = 0; q < VW; q += 4)
    {
        const __m512i a = lanes_load(x + q, far_bytes), b = lanes_load(x + stride + q, far_bytes),
                      c = lanes_load(x + 2 * stride + q, far_bytes),
                      d = lanes_load(x + 3 * stride + q, far_bytes);
        const __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d),
                      ab_high = _mm512_unpackhi_epi32(a, b), cd_high = _mm512_unpackhi_epi32(c, d);
        words_store(out + q * width, (vu)_mm512_unpacklo_epi64(ab, cd));
        words_store(out + (q + 1) * width, (vu)_mm512_unpackhi_epi64(ab, cd));
        words_store(out + (q + 2) * width, (vu)_mm512_unpacklo_epi64(ab_high, cd_high));
        words_store(out + (q + 3) * width, (vu)_mm512_unpackhi_epi64(ab_high, cd_high));
    }
}

#else

ALWAYS_INLINE void transpose_whole(const word *x, int64_t stride, word *out, int64_t width)
{
    transpose_block(x, stride, VW, VW, out, width);
}

#endif

/* out (columns, width) = x (rows, columns), whose rows lie stride apart, turned round and padded with zeros;
 * width: rows rounded up to whole vectors. */
static inline void words_transpose(const word *x, int64_t stride, int64_t rows, int64_t columns, word *out,
                                   int64_t width)
{
    for (int64_t i = 0; i < rows; i += VW)
        for (int64_t k = 0; k < columns; k += VW)
            if (rows - i >= VW && columns - k >= VW)
                transpose_whole(x + i * stride + k, stride, out + k * width + i, width);
            else
                transpose_block(x + i * stride + k, stride, rows - i < VW ? rows - i : VW,
                                columns - k < VW ? columns - k : VW, out + k * width + i, width);
}

#endif
