/* SPDX-License-Identifier: Apache-2.0
 * Compiled once for AVX2 and once for AVX-512. Instructions that would move something between the 128-bit
 * parts of a register are not used: each part has 8 blocks of its own. */
#include "io/jpeg_blocks.h"

#include <immintrin.h>
#include <string.h>

#ifdef __AVX512BW__
typedef __m512i vector;
#define V(operation) _mm512_##operation
#define NAME fsfm_jpeg_blocks_avx512
#else
typedef __m256i vector;
#define V(operation) _mm256_##operation
#define NAME fsfm_jpeg_blocks_avx2
#endif

enum { LANES = sizeof(vector) / 2, PARTS = sizeof(vector) / 16, LARGEST_SUM = 5900 };

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

static inline vector load(const int16_t *lanes)
{
    vector x;
    memcpy(&x, lanes, sizeof x);
    return x;
}

static inline void store(void *lanes, vector x)
{
    memcpy(lanes, &x, sizeof x);
}

static inline vector either(vector x, vector y)
{
#ifdef __AVX512BW__
    return _mm512_or_si512(x, y);
#else
    return _mm256_or_si256(x, y);
#endif
}

static inline bool is_zero(vector x)
{
#ifdef __AVX512BW__
    return _mm512_test_epi16_mask(x, x) == 0;
#else
    return _mm256_testz_si256(x, x);
#endif
}

/* The same 16 bytes in each part. */
static inline vector in_each_part(__m128i x)
{
#ifdef __AVX512BW__
    return _mm512_broadcast_i32x4(x);
#else
    return _mm256_broadcastsi128_si256(x);
#endif
}

/* 32 bits in each lane: one number, or two of 16 bits whose products are to be summed. */
typedef struct {
    vector low, high;
} pairs;

static inline pairs pair(vector a, vector b)
{
    return (pairs){V(unpacklo_epi16)(a, b), V(unpackhi_epi16)(a, b)};
}

/* x.a * a + x.b * b, in 32 bits. */
static inline pairs products(pairs x, int a, int b)
{
    const vector factors = V(set1_epi32)((int)((uint32_t)b << 16 | (uint16_t)a));
    return (pairs){V(madd_epi16)(x.low, factors), V(madd_epi16)(x.high, factors)};
}

static inline pairs plus(pairs x, pairs y)
{
    return (pairs){V(add_epi32)(x.low, y.low), V(add_epi32)(x.high, y.high)};
}

static inline pairs minus(pairs x, pairs y)
{
    return (pairs){V(sub_epi32)(x.low, y.low), V(sub_epi32)(x.high, y.high)};
}

static inline vector shifted(pairs x, int shift)
{
    const __m128i count = _mm_cvtsi32_si128(shift);
    return V(packs_epi32)(V(sra_epi32)(x.low, count), V(sra_epi32)(x.high, count));
}

static inline void finish(pairs even, pairs odd, int shift, vector *sum, vector *difference)
{
    *sum = shifted(plus(even, odd), shift);
    *difference = shifted(minus(even, odd), shift);
}

/* The inverse cosine transform of 8 values in each lane (Loeffler, Ligtenberg and Moschytz, "Practical fast
 * 1-D DCT algorithms with 11 multiplications", ICASSP 1989), each output as a sum of products: the factors
 * are the integers that come of libjpeg's 12 multiplications, so nothing is rounded otherwise. The results
 * have shift bits fewer behind the point, rounded. */
static inline void transform(vector x[8], int shift)
{
    enum {
        A = FIX_1_175875602,
        Z1 = -FIX_0_899976223,
        Z2 = -FIX_2_562915447,
        Z3 = A - FIX_1_961570560,
        Z4 = A - FIX_0_390180644
    };
    const vector rounding = V(set1_epi32)(1 << (shift - 1));
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

/* Dequantises and transforms all columns of LANES blocks, in place. False where a block is too large: up to
 * LARGEST_SUM all results fit into 16 bits and all sums into 32. Blocks of pictures have at most 8 x 1024,
 * and that much only where they are made for it. */
static bool transform_columns(int16_t (*block)[FSFM_JPEG_LANES], const uint32_t quantisers[FSFM_JPEG_BLOCK])
{
    vector sums = V(set1_epi16)(0);
    for (int column = 0; column < 8; column++) {
        vector x[8];
        for (int i = 0; i < 8; i++) {
            x[i] =
                V(mullo_epi16)(load(block[8 * i + column]), V(set1_epi32)((int)quantisers[8 * i + column]));
            sums = V(adds_epu16)(sums, V(abs_epi16)(x[i]));
        }
        transform(x, 11);
        for (int i = 0; i < 8; i++) store(block[8 * i + column], x[i]);
    }
    return is_zero(V(subs_epu16)(sums, V(set1_epi16)(LARGEST_SUM)));
}

/* One row of each block, to samples around 0, in 16 bits. */
static inline void transform_row(int16_t (*row)[FSFM_JPEG_LANES], vector x[8])
{
    /* One by one: compilers make a loop of copies a memcpy by halves, whose parts a load of the whole then
     * has to wait for. */
    x[0] = load(row[0]), x[1] = load(row[1]), x[2] = load(row[2]), x[3] = load(row[3]);
    x[4] = load(row[4]), x[5] = load(row[5]), x[6] = load(row[6]), x[7] = load(row[7]);
    transform(x, 18);
    const vector low = V(set1_epi16)(-128), high = V(set1_epi16)(127);
    for (int i = 0; i < 8; i++) x[i] = V(max_epi16)(V(min_epi16)(x[i], high), low);
}

/* (2 factor x / 65536 + 1) / 2, floored twice: factor x / 65536, rounded. */
static inline vector times(vector x, int factor)
{
    const vector twice = V(mulhi_epi16)(V(add_epi16)(x, x), V(set1_epi16)((int16_t)factor));
    return V(srai_epi16)(V(add_epi16)(twice, V(set1_epi16)(1)), 1);
}

/* YCbCr of JFIF, around 0, to RGB, which a packing with saturation to bytes makes final. The factors 1.402,
 * -0.71414 and 1.772 of 65536 are taken as 1 + 26345 / 65536, -1 + 18734 / 65536 and 2 - 14942 / 65536, which
 * 16 bits hold. */
static inline void make_colours(vector y, vector cb, vector cr, vector *red, vector *green, vector *blue)
{
    const vector rounding = V(set1_epi32)(32768), sample = V(add_epi16)(y, V(set1_epi16)(128));
    const pairs rest = plus(products(pair(cb, cr), -22554, 18734), (pairs){rounding, rounding});
    *red = V(add_epi16)(V(add_epi16)(sample, cr), times(cr, 26345));
    *green = V(add_epi16)(V(sub_epi16)(sample, cr), shifted(rest, 16));
    *blue = V(add_epi16)(V(add_epi16)(sample, V(add_epi16)(cb, cb)), times(cb, -14942));
}

/* 8 pixels of a row in the lanes of blocks, to bytes: out[t] has, in each part, blocks 2 t and 2 t + 1 with
 * their 8 pixels behind one another. */
static inline void turn(const vector x[8], vector out[4])
{
    vector four[2][2]; /* pixels 0 to 3 or 4 to 7; of blocks 0 to 3 or 4 to 7 */
    for (int i = 0; i < 2; i++) {
        const vector even = V(packus_epi16)(x[4 * i], x[4 * i + 2]);
        const vector odd = V(packus_epi16)(x[4 * i + 1], x[4 * i + 3]);
        const vector first = V(unpacklo_epi8)(even, odd), second = V(unpackhi_epi8)(even, odd);
        four[i][0] = V(unpacklo_epi16)(first, second);
        four[i][1] = V(unpackhi_epi16)(first, second);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = V(unpacklo_epi32)(four[0][i], four[1][i]);
        out[2 * i + 1] = V(unpackhi_epi32)(four[0][i], four[1][i]);
    }
}

/* Where the bytes of one colour go among 48: which of 16 stands at each place, or -1. */
#define SPREAD(x, ...) V(shuffle_epi8)(x, in_each_part(_mm_setr_epi8(__VA_ARGS__)))

/* 16 pixels in each part to three times 16 bytes. */
static inline void interleave(vector r, vector g, vector b, uint8_t out[3][sizeof(vector)])
{
    const vector r0 = SPREAD(r, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    const vector g0 = SPREAD(g, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    const vector b0 = SPREAD(b, -1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const vector r1 = SPREAD(r, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    const vector g1 = SPREAD(g, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    const vector b1 = SPREAD(b, -1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    const vector r2 = SPREAD(r, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    const vector g2 = SPREAD(g, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    const vector b2 = SPREAD(b, 10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
    store(out[0], either(either(r0, g0), b0));
    store(out[1], either(either(r1, g1), b1));
    store(out[2], either(either(r2, g2), b2));
}

/* One row of pixels of LANES blocks. */
static inline void make_row(fsfm_jpeg_lanes components[3], int first, int row,
                            uint8_t out[4][3][sizeof(vector)])
{
    vector y[8], cb[8], cr[8], red[4], green[4], blue[4];
    transform_row((int16_t(*)[FSFM_JPEG_LANES]) & components[0][8 * row][first], y);
    transform_row((int16_t(*)[FSFM_JPEG_LANES]) & components[1][8 * row][first], cb);
    transform_row((int16_t(*)[FSFM_JPEG_LANES]) & components[2][8 * row][first], cr);
    for (int i = 0; i < 8; i++) make_colours(y[i], cb[i], cr[i], &y[i], &cb[i], &cr[i]);
    turn(y, red);
    turn(cb, green);
    turn(cr, blue);
    for (int t = 0; t < 4; t++) interleave(red[t], green[t], blue[t], out[t]);
}

/* The first count blocks of a row; two blocks are 48 bytes. */
static inline void write_row(uint8_t row[4][3][sizeof(vector)], int count, uint8_t *pixels)
{
    for (int block = 0; block < count; block += 2, pixels += 48) {
        uint8_t(*from)[sizeof(vector)] = row[block / 2 % 4];
        const int part = block / 8 * 16;
        memcpy(pixels, &from[0][part], 16);
        if (block + 1 == count) {
            memcpy(pixels + 16, &from[1][part], 8);
        } else {
            memcpy(pixels + 16, &from[1][part], 16);
            memcpy(pixels + 32, &from[2][part], 16);
        }
    }
}

bool NAME(fsfm_jpeg_lanes components[3], const uint32_t quantisers[3][FSFM_JPEG_BLOCK], int count,
          uint8_t *pixels, size_t stride)
{
    for (int first = 0; first < count; first += LANES) {
        const int blocks = count - first < LANES ? count - first : LANES;
        for (int c = 0; c < 3; c++)
            if (!transform_columns((int16_t(*)[FSFM_JPEG_LANES]) & components[c][0][first], quantisers[c]))
                return false;
        for (int row = 0; row < 8; row++) {
            uint8_t bytes[4][3][sizeof(vector)];
            make_row(components, first, row, bytes);
            write_row(bytes, blocks, pixels + (size_t)row * stride + (size_t)first * 24);
        }
    }
    return true;
}
