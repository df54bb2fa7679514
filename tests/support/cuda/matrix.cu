// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/matrix.cu - matrices in the registers of a warp. Lane l of a fragment of 8 x 8 numbers
// of 16 bits holds numbers 2 (l % 4) and 2 (l % 4) + 1 of row l / 4.
#include <string.h>

#include "observer.h"
#include "poison.h"
#include "shared.h"
#include "warp.h"

namespace emulated
{

static float upper_half(uint32_t bits)
{
    return __uint_as_float(bits & 0xffff0000u);
}

static float lower_half(uint32_t bits)
{
    return __uint_as_float(bits << 16);
}

static WarpCall &begin_whole_call(const char *name, Site site)
{
    WarpCall &call = begin_call(name, 0xffffffffu, site);
    if (call.mask != 0xffffffffu)
        fail("%s at %s:%d in a warp of less than 32 threads", name, site.file, site.line);
    return call;
}

// Fragments of a: rows 0 to 7 and 8 to 15 of columns 0 to 7, then both of columns 8 to 15; b is held as its
// transposed, k 0 to 7 and 8 to 15; c and d are floats in the places of a's first two fragments.
NOT_SANITIZED static void multiply(Thread *lanes, uint32_t)
{
    float a[16][16], b[16][8], sum[16][8];
    for (int l = 0; l < warp_threads; l++) {
        const void *const *pointers = lanes[l].call.pointers;
        const uint32_t *part_a = static_cast<const uint32_t *>(pointers[1]);
        const uint32_t *part_b = static_cast<const uint32_t *>(pointers[2]);
        const float *part_c = static_cast<const float *>(pointers[3]);
        const int row = l / 4, column = l % 4 * 2;
        for (int i = 0; i < 4; i++) {
            a[row + i % 2 * 8][column + i / 2 * 8] = lower_half(part_a[i]);
            a[row + i % 2 * 8][column + i / 2 * 8 + 1] = upper_half(part_a[i]);
            sum[row + i / 2 * 8][column + i % 2] = part_c[i];
        }
        for (int i = 0; i < 2; i++) {
            b[column + i * 8][row] = lower_half(part_b[i]);
            b[column + i * 8 + 1][row] = upper_half(part_b[i]);
        }
    }
    for (int m = 0; m < 16; m++)
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 8; n++) sum[m][n] += a[m][k] * b[k][n];
    for (int l = 0; l < warp_threads; l++) {
        float *part_d = static_cast<float *>(const_cast<void *>(lanes[l].call.pointers[0]));
        for (int i = 0; i < 4; i++) part_d[i] = sum[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
    }
}

void multiply_16x8x16(float *d, const uint32_t *a, const uint32_t *b, const float *c, Site site)
{
    WarpCall &call = begin_whole_call("mma", site);
    call.pointers[0] = d, call.pointers[1] = a, call.pointers[2] = b, call.pointers[3] = c;
    meet(multiply);
}

static uint16_t number_at(const Thread &lane, int column)
{
    uint16_t bits;
    memcpy(&bits, static_cast<const char *>(lane.call.pointers[1]) + column * 2, sizeof bits);
    return bits;
}

template <int count, bool is_transposed> static void load(Thread *lanes, uint32_t)
{
    for (int l = 0; l < warp_threads; l++) {
        uint32_t *fragments = static_cast<uint32_t *>(const_cast<void *>(lanes[l].call.pointers[0]));
        const int row = l / 4, column = l % 4 * 2;
        for (int i = 0; i < count; i++) {
            const Thread *rows = lanes + i * 8;
            const uint32_t low = is_transposed ? number_at(rows[column], row) : number_at(rows[row], column);
            const uint32_t high =
                is_transposed ? number_at(rows[column + 1], row) : number_at(rows[row], column + 1);
            fragments[i] = low | high << 16;
        }
    }
}

void load_matrices(uint32_t *fragments, int count, bool is_transposed, const void *row, Site site)
{
    WarpCall &call = begin_whole_call("ldmatrix", site);
    call.pointers[0] = fragments, call.pointers[1] = row;
    if (block.thread->lane() < count * 8) {
        check_shared(row, 16, "ldmatrix", site);
        if (observer.thread_accessed != nullptr) observer.thread_accessed(row, 16, false, false, site);
    }
    if (count == 2)
        meet(load<2, true>);
    else
        meet(is_transposed ? load<4, true> : load<4, false>);
}

} // namespace emulated
