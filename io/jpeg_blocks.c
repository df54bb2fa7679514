/* SPDX-License-Identifier: Apache-2.0
 * Compiled for AVX2 where the processor's kind has it. */
#include "io/jpeg_blocks.h"

#ifdef __AVX2__
#include <immintrin.h>
#include <string.h>

enum { LANES = FSFM_JPEG_LANES, LARGEST_SUM = 5900 };

/* Cosines with 13 bits behind the point; the names give the value. */
enum {
    FIX_0_298631336 = 2446,
    FIX_0_390180644 = 3196,
    FIX_0_541196100 = 4433,
    FIX_0_765366865 = 6270,
    FIX_0_899976223 = 7373,
    FIX_1_175875602 = 9633,
    FIX_1_501321110 = 12299,
    FIX_1_847759065 = 15137,
    FIX_1_961570560 = 16069,
    FIX_2_053119869 = 16819,
    FIX_2_562915447 = 20995,
    FIX_3_072711026 = 25172
};

/* 32 bits in each lane: one number, or two of 16 bits whose products are to be summed. */
typedef struct {
    __m256i low, high;
} pairs;

static inline pairs pair(__m256i a, __m256i b)
{
    return (pairs){_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)};
}

/* x.a * a + x.b * b, in 32 bits. */
static inline pairs products(pairs x, int a, int b)
{
    const __m256i factors = _mm256_set1_epi32((int)((uint32_t)b << 16 | (uint16_t)a));
    return (pairs){_mm256_madd_epi16(x.low, factors), _mm256_madd_epi16(x.high, factors)};
}

static inline pairs plus(pairs x, pairs y)
{
    return (pairs){_mm256_add_epi32(x.low, y.low), _mm256_add_epi32(x.high, y.high)};
}

static inline pairs minus(pairs x, pairs y)
{
    return (pairs){_mm256_sub_epi32(x.low, y.low), _mm256_sub_epi32(x.high, y.high)};
}

static inline __m256i shifted(pairs x, int shift)
{
    return _mm256_packs_epi32(_mm256_srai_epi32(x.low, shift), _mm256_srai_epi32(x.high, shift));
}

static inline void finish(pairs even, pairs odd, int shift, __m256i *sum, __m256i *difference)
{
    *sum = shifted(plus(even, odd), shift);
    *difference = shifted(minus(even, odd), shift);
}

/* The inverse cosine transform of 8 values in each lane (Loeffler, Ligtenberg and Moschytz, "Practical fast
 * 1-D DCT algorithms with 11 multiplications", ICASSP 1989), each output as a sum of products: the factors
 * are the integers that come of libjpeg's 12 multiplications, so nothing is rounded otherwise. The results
 * have shift bits fewer behind the point, rounded. */
static inline void transform(__m256i x[8], int shift)
{
    enum {
        A = FIX_1_175875602,
        Z1 = -FIX_0_899976223,
        Z2 = -FIX_2_562915447,
        Z3 = A - FIX_1_961570560,
        Z4 = A - FIX_0_390180644
    };
    const __m256i rounding = _mm256_set1_epi32(1 << (shift - 1));
    const pairs half = {rounding, rounding};
    const pairs x04 = pair(x[0], x[4]), x26 = pair(x[2], x[6]), x17 = pair(x[1], x[7]),
                x35 = pair(x[3], x[5]);
    const pairs e0 = plus(products(x04, 8192, 8192), half), e1 = plus(products(x04, 8192, -8192), half);
    const pairs e2 = products(x26, FIX_0_541196100, FIX_0_541196100 - FIX_1_847759065);
    const pairs e3 = products(x26, FIX_0_541196100 + FIX_0_765366865, FIX_0_541196100);
    finish(plus(e0, e3), plus(products(x17, FIX_1_501321110 + Z1 + Z4, Z1 + A), products(x35, A, Z4)), shift,
           &x[0], &x[7]);
    finish(plus(e1, e2), plus(products(x17, A, Z3), products(x35, FIX_3_072711026 + Z2 + Z3, Z2 + A)), shift,
           &x[1], &x[6]);
    finish(minus(e1, e2), plus(products(x17, Z4, A), products(x35, Z2 + A, FIX_2_053119869 + Z2 + Z4)), shift,
           &x[2], &x[5]);
    finish(minus(e0, e3), plus(products(x17, Z1 + A, FIX_0_298631336 + Z1 + Z3), products(x35, Z3, A)), shift,
           &x[3], &x[4]);
}

/* By an instruction that the compiler does not know as a copy: it would turn eight loads into a memcpy by
 * halves, whose parts a load of the whole then has to wait for. */
static inline __m256i load(const int16_t *lanes)
{
    return _mm256_lddqu_si256((const __m256i *)(const void *)lanes);
}

/* Dequantises and transforms all columns, in place. False where a block is too large: up to LARGEST_SUM all
 * results fit into 16 bits and all sums into 32. Blocks of pictures have at most 8 x 1024, and that much only
 * where they are made for it. */
static bool transform_columns(fsfm_jpeg_lanes component, const int16_t quantisers[FSFM_JPEG_BLOCK])
{
    __m256i sums = _mm256_setzero_si256();
    for (int column = 0; column < 8; column++) {
        __m256i x[8];
        for (int i = 0; i < 8; i++) {
            x[i] = _mm256_mullo_epi16(load(component[8 * i + column]),
                                      _mm256_set1_epi16(quantisers[8 * i + column]));
            sums = _mm256_adds_epu16(sums, _mm256_abs_epi16(x[i]));
        }
        transform(x, 11);
        for (int i = 0; i < 8; i++) _mm256_storeu_si256((__m256i *)(void *)component[8 * i + column], x[i]);
    }
    const __m256i over = _mm256_subs_epu16(sums, _mm256_set1_epi16(LARGEST_SUM));
    return _mm256_testz_si256(over, over);
}

/* One row of each block, to samples around 0, in 16 bits. */
static inline void transform_row(int16_t (*row)[LANES], __m256i x[8])
{
    for (int i = 0; i < 8; i++) x[i] = load(row[i]);
    transform(x, 18);
    const __m256i low = _mm256_set1_epi16(-128), high = _mm256_set1_epi16(127);
    for (int i = 0; i < 8; i++) x[i] = _mm256_max_epi16(_mm256_min_epi16(x[i], high), low);
}

/* 16-bit values from 0 to 255, others the nearest of these, as bytes. */
static inline __m128i to_bytes(__m256i x)
{
    return _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* (2 factor x / 65536 + 1) / 2, floored twice: factor x / 65536, rounded. */
static inline __m256i times(__m256i x, int factor)
{
    const __m256i twice = _mm256_mulhi_epi16(_mm256_add_epi16(x, x), _mm256_set1_epi16((int16_t)factor));
    return _mm256_srai_epi16(_mm256_add_epi16(twice, _mm256_set1_epi16(1)), 1);
}

/* YCbCr of JFIF, around 0, to RGB. The factors 1.402, -0.71414 and 1.772 of 65536 are taken as 1 + 26345 /
 * 65536, -1 + 18734 / 65536 and 2 - 14942 / 65536, which 16 bits hold. */
static inline void make_colours(__m256i y, __m256i cb, __m256i cr, __m128i *red, __m128i *green,
                                __m128i *blue)
{
    const __m256i rounding = _mm256_set1_epi32(32768), sample = _mm256_add_epi16(y, _mm256_set1_epi16(128));
    const pairs rest = plus(products(pair(cb, cr), -22554, 18734), (pairs){rounding, rounding});
    *red = to_bytes(_mm256_add_epi16(_mm256_add_epi16(sample, cr), times(cr, 26345)));
    *green = to_bytes(_mm256_add_epi16(_mm256_sub_epi16(sample, cr), shifted(rest, 16)));
    *blue = to_bytes(_mm256_add_epi16(_mm256_add_epi16(sample, _mm256_add_epi16(cb, cb)), times(cb, -14942)));
}

/* (8 pixels, 16 blocks) to (16 blocks, 8 pixels), by three perfect shuffles. */
static inline void turn(__m128i x[8])
{
    for (int round = 0; round < 3; round++) {
        __m128i shuffled[8];
        for (int i = 0; i < 4; i++) {
            shuffled[2 * i] = _mm_unpacklo_epi8(x[i], x[i + 4]);
            shuffled[2 * i + 1] = _mm_unpackhi_epi8(x[i], x[i + 4]);
        }
        for (int i = 0; i < 8; i++) x[i] = shuffled[i];
    }
}

/* Where the bytes of one colour go among 48: from[p] is which of 16 stands at p, or -1. */
#define SPREAD(x, ...) _mm_shuffle_epi8(x, _mm_setr_epi8(__VA_ARGS__))

/* 16 pixels, 48 bytes. */
static inline void interleave(__m128i r, __m128i g, __m128i b, uint8_t *out)
{
    const __m128i r0 = SPREAD(r, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    const __m128i g0 = SPREAD(g, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    const __m128i b0 = SPREAD(b, -1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m128i r1 = SPREAD(r, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    const __m128i g1 = SPREAD(g, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    const __m128i b1 = SPREAD(b, -1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    const __m128i r2 = SPREAD(r, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    const __m128i g2 = SPREAD(g, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    const __m128i b2 = SPREAD(b, 10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
    _mm_storeu_si128((__m128i *)(void *)out, _mm_or_si128(_mm_or_si128(r0, g0), b0));
    _mm_storeu_si128((__m128i *)(void *)(out + 16), _mm_or_si128(_mm_or_si128(r1, g1), b1));
    _mm_storeu_si128((__m128i *)(void *)(out + 32), _mm_or_si128(_mm_or_si128(r2, g2), b2));
}

/* One row of pixels. */
static void make_row(fsfm_jpeg_lanes components[3], int row, int count, uint8_t *pixels)
{
    __m256i y[8], cb[8], cr[8];
    __m128i r[8], g[8], b[8];
    transform_row(components[0] + 8 * row, y);
    transform_row(components[1] + 8 * row, cb);
    transform_row(components[2] + 8 * row, cr);
    for (int i = 0; i < 8; i++) make_colours(y[i], cb[i], cr[i], &r[i], &g[i], &b[i]);
    turn(r);
    turn(g);
    turn(b);
    for (int i = 0; i < count / 2; i++) interleave(r[i], g[i], b[i], pixels + 48 * i);
    if (count % 2) {
        uint8_t last[48];
        interleave(r[count / 2], g[count / 2], b[count / 2], last);
        memcpy(pixels + 24 * (count - 1), last, 24);
    }
}

bool fsfm_jpeg_blocks(fsfm_jpeg_lanes components[3], const int16_t quantisers[3][FSFM_JPEG_BLOCK], int count,
                      uint8_t *pixels, size_t stride)
{
    for (int c = 0; c < 3; c++)
        if (!transform_columns(components[c], quantisers[c])) return false;
    for (int row = 0; row < 8; row++) make_row(components, row, count, pixels + (size_t)row * stride);
    return true;
}
#else
bool fsfm_jpeg_blocks(fsfm_jpeg_lanes components[3], const int16_t quantisers[3][FSFM_JPEG_BLOCK], int count,
                      uint8_t *pixels, size_t stride)
{
    (void)components, (void)quantisers, (void)count, (void)pixels, (void)stride;
    return false;
}
#endif
