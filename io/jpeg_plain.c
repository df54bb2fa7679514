/* SPDX-License-Identifier: Apache-2.0 */
#include "io/jpeg_plain.h"

#include <stdlib.h>
#include <string.h>

#include "io/jpeg_blocks.h"
#include "io/jpeg_huffman.h"
#include "io/jpeg_scan.h"

enum {
    START_OF_IMAGE = 0xd8,
    END_OF_IMAGE = 0xd9,
    START_OF_SCAN = 0xda,
    QUANTISERS = 0xdb,
    HUFFMAN_TABLES = 0xc4,
    BASELINE_FRAME = 0xc0,
    APPLICATION_0 = 0xe0,
    APPLICATION_15 = 0xef,
    COMMENT = 0xfe,
    TABLES = 4,
    COUNTS = 16,
    LINE = 64 /* bytes of a cache line */
};

struct fsfm_jpeg_plain {
    fsfm_jpeg_blocks *make_pixels; /* NULL: this processor cannot */
    fsfm_huffman_table dc[TABLES], ac[TABLES];
    bool has_dc[TABLES], has_ac[TABLES], has_quantisers[TABLES]; /* in this file */
    int16_t quantisers[TABLES][FSFM_JPEG_BLOCK];                 /* in reading order */
    bool is_jfif, has_frame;
    struct {
        int id, quantisers, dc, ac;
    } component[3]; /* Y, Cb, Cr; indices of tables */
    uint8_t *scan;  /* without stuffed zeros; owned */
    size_t scan_room;
    uint32_t scan_quantisers[3][FSFM_JPEG_BLOCK]; /* each twice, in both halves of a word */
    _Alignas(LINE) fsfm_jpeg_lanes group[3];      /* Y, Cb, Cr */
};

/* A piece of the file. */
typedef struct {
    const uint8_t *next, *end;
} span;

#ifdef __x86_64__
static bool has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512cd");
}
#endif

/* NULL: none that goes with this processor. */
static fsfm_jpeg_blocks *choose(fsfm_jpeg_vectors widest)
{
#ifdef __x86_64__
    if (widest >= FSFM_JPEG_AVX512 && has_avx512()) return fsfm_jpeg_blocks_avx512;
    if (widest >= FSFM_JPEG_AVX2 && has_avx2()) return fsfm_jpeg_blocks_avx2;
#endif
    (void)widest;
    return NULL;
}

fsfm_jpeg_vectors fsfm_jpeg_vectors_here(void)
{
    fsfm_jpeg_vectors widest = FSFM_JPEG_AVX512;
    while (widest > FSFM_JPEG_NONE && choose(widest) == choose(widest - 1)) widest--;
    return widest;
}

fsfm_status fsfm_jpeg_plain_create(fsfm_jpeg_vectors widest, fsfm_jpeg_plain **out, fsfm_error *err)
{
    if (!(*out = aligned_alloc(LINE, sizeof **out)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a JPEG decoder");
    memset(*out, 0, sizeof **out);
    (*out)->make_pixels = choose(widest);
    return FSFM_OK;
}

void fsfm_jpeg_plain_free(fsfm_jpeg_plain **plain)
{
    if (*plain) free((*plain)->scan);
    free(*plain);
    *plain = NULL;
}

static size_t left(const span *s)
{
    return (size_t)(s->end - s->next);
}

static bool read_quantisers(fsfm_jpeg_plain *plain, span segment)
{
    for (; left(&segment) > 0; segment.next += 1 + FSFM_JPEG_BLOCK) {
        const int table = *segment.next; /* above 3: no such table, or one of 16-bit entries */
        if (table >= TABLES || left(&segment) < 1 + FSFM_JPEG_BLOCK) return false;
        for (int k = 0; k < FSFM_JPEG_BLOCK; k++)
            plain->quantisers[table][fsfm_jpeg_reading_index(k)] = segment.next[1 + k];
        plain->has_quantisers[table] = true;
    }
    return true;
}

static bool read_huffman_tables(fsfm_jpeg_plain *plain, span segment)
{
    while (left(&segment) > 0) {
        if (left(&segment) < 1 + COUNTS) return false;
        const int table = *segment.next & 15;
        const bool is_ac = *segment.next >> 4 == 1;
        const uint8_t *counts = segment.next + 1;
        int symbols = 0;
        for (int i = 0; i < COUNTS; i++) symbols += counts[i];
        segment.next += 1 + COUNTS;
        if (table >= TABLES || counts[-1] >> 4 > 1 || symbols > 256 || left(&segment) < (size_t)symbols)
            return false;
        if (!fsfm_huffman_table_make(is_ac ? &plain->ac[table] : &plain->dc[table], is_ac, counts,
                                     segment.next, symbols))
            return false;
        *(is_ac ? &plain->has_ac[table] : &plain->has_dc[table]) = true;
        segment.next += symbols;
    }
    return true;
}

static bool read_frame(fsfm_jpeg_plain *plain, span segment, int size)
{
    const uint8_t *b = segment.next;
    if (plain->has_frame || left(&segment) != 15) return false;
    if (b[0] != 8 || (b[1] << 8 | b[2]) != size || (b[3] << 8 | b[4]) != size || b[5] != 3) return false;
    for (int c = 0; c < 3; c++, b += 3) {
        if (b[7] != 0x11 || b[8] >= TABLES) return false; /* subsampled, or no such table */
        plain->component[c].id = b[6];
        plain->component[c].quantisers = b[8];
    }
    plain->has_frame = true;
    return true;
}

/* Whether every product of a coefficient and its quantiser fits into 16 bits. */
static bool is_fine(const int16_t quantisers[FSFM_JPEG_BLOCK])
{
    for (int i = 0; i < FSFM_JPEG_BLOCK; i++)
        if (quantisers[i] * (i ? FSFM_HUFFMAN_AC_MAX : FSFM_HUFFMAN_DC_MAX) > INT16_MAX) return false;
    return true;
}

/* One scan over all three components, whole coefficients. */
static bool read_scan_header(fsfm_jpeg_plain *plain, span segment)
{
    const uint8_t *b = segment.next;
    if (!plain->is_jfif || !plain->has_frame || left(&segment) != 10 || b[0] != 3) return false;
    if (b[7] != 0 || b[8] != 63 || b[9] != 0) return false;
    for (int c = 0; c < 3; c++) {
        const int id = b[1 + 2 * c], dc = b[2 + 2 * c] >> 4, ac = b[2 + 2 * c] & 15,
                  quantisers = plain->component[c].quantisers;
        if (id != plain->component[c].id || dc >= TABLES || ac >= TABLES) return false;
        if (!plain->has_dc[dc] || !plain->has_ac[ac] || !plain->has_quantisers[quantisers]) return false;
        plain->component[c].dc = dc;
        plain->component[c].ac = ac;
        if (!is_fine(plain->quantisers[quantisers])) return false;
        for (int i = 0; i < FSFM_JPEG_BLOCK; i++)
            plain->scan_quantisers[c][i] = (uint32_t)plain->quantisers[quantisers][i] * 0x10001u;
    }
    return true;
}

/* Reads all up to the scan's first bit, where file->next is then. */
static bool read_headers(fsfm_jpeg_plain *plain, span *file, int size)
{
    memset(plain->has_dc, 0, sizeof plain->has_dc);
    memset(plain->has_ac, 0, sizeof plain->has_ac);
    memset(plain->has_quantisers, 0, sizeof plain->has_quantisers);
    plain->is_jfif = plain->has_frame = false;
    if (left(file) < 2 || file->next[0] != 0xff || file->next[1] != START_OF_IMAGE) return false;
    file->next += 2;
    while (left(file) >= 4 && file->next[0] == 0xff) {
        const int marker = file->next[1], length = file->next[2] << 8 | file->next[3];
        if (length < 2 || left(file) < 2 + (size_t)length) return false;
        const span segment = {file->next + 4, file->next + 2 + length};
        file->next = segment.end;
        if (marker == START_OF_SCAN) return read_scan_header(plain, segment);
        bool is_known = marker >= APPLICATION_0 && marker <= APPLICATION_15;
        if (marker == APPLICATION_0 && left(&segment) >= 14 && memcmp(segment.next, "JFIF", 5) == 0)
            plain->is_jfif = true;
        if (marker == COMMENT) is_known = true;
        if (marker == QUANTISERS) is_known = read_quantisers(plain, segment);
        if (marker == HUFFMAN_TABLES) is_known = read_huffman_tables(plain, segment);
        if (marker == BASELINE_FRAME) is_known = read_frame(plain, segment, size);
        if (!is_known) return false;
    }
    return false;
}

/* Copies the scan without the zero behind each 0xff. It has to end with the file's end marker. */
static bool copy_scan(fsfm_jpeg_plain *plain, span file, size_t *scan_bytes)
{
    if (left(&file) + FSFM_JPEG_SCAN_SLACK > plain->scan_room) {
        const size_t room = 2 * left(&file) + FSFM_JPEG_SCAN_SLACK;
        uint8_t *grown = realloc(plain->scan, room);
        if (!grown) return false;
        plain->scan = grown;
        plain->scan_room = room;
    }
    uint8_t *into = plain->scan;
    for (;;) {
        const uint8_t *mark = memchr(file.next, 0xff, left(&file));
        if (!mark || mark + 1 == file.end) return false;
        const size_t count = (size_t)(mark - file.next);
        memcpy(into, file.next, count);
        into += count;
        file.next = mark + 2;
        if (mark[1] == END_OF_IMAGE) break;
        if (mark[1] != 0) return false;
        *into++ = 0xff;
    }
    memset(into, 0, FSFM_JPEG_SCAN_SLACK);
    *scan_bytes = (size_t)(into - plain->scan);
    return true;
}

/* A group of blocks side by side, to pixels. */
static bool decode_group(fsfm_jpeg_plain *plain, fsfm_jpeg_scan *scan, const fsfm_huffman_pair tables[3],
                         int dc[3], int count, uint8_t *pixels, size_t stride)
{
    memset(plain->group, 0, sizeof plain->group);
    return fsfm_jpeg_scan_read(scan, tables, count, dc, plain->group) &&
           plain->make_pixels(plain->group, plain->scan_quantisers, count, pixels, stride);
}

static bool decode_scan(fsfm_jpeg_plain *plain, size_t scan_bytes, int size, uint8_t *pixels)
{
    fsfm_jpeg_scan scan = {.next = plain->scan, .end = plain->scan + scan_bytes};
    const int blocks = size / 8, groups = (blocks + FSFM_JPEG_LANES - 1) / FSFM_JPEG_LANES;
    const size_t stride = (size_t)size * 3;
    int dc[3] = {0};
    fsfm_huffman_pair tables[3];
    for (int c = 0; c < 3; c++)
        tables[c] =
            (fsfm_huffman_pair){&plain->dc[plain->component[c].dc], &plain->ac[plain->component[c].ac]};
    for (int y = 0; y < blocks; y++)
        for (int g = 0, first = 0; g < groups; g++) {
            const int count = (blocks - first) / (groups - g); /* as even as can be */
            if (!decode_group(plain, &scan, tables, dc, count,
                              pixels + (size_t)y * 8 * stride + (size_t)first * 24, stride))
                return false;
            first += count;
        }
    return fsfm_jpeg_scan_left(&scan) >= 0 && fsfm_jpeg_scan_left(&scan) < 8;
}

bool fsfm_jpeg_plain_decode(fsfm_jpeg_plain *plain, const uint8_t *bytes, size_t size_bytes, int size,
                            uint8_t *pixels)
{
    span file = {bytes, bytes + size_bytes};
    size_t scan_bytes = 0;
    return plain->make_pixels && size > 0 && size % 8 == 0 && read_headers(plain, &file, size) &&
           copy_scan(plain, file, &scan_bytes) && decode_scan(plain, scan_bytes, size, pixels);
}
