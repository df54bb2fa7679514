/* SPDX-License-Identifier: Apache-2.0
 * NumPy's .npy files, as far as label maps need them: magic, version, a Python dict in text, the raw values.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/codec.h"

enum { AXES_MAX = 8, PREFIX_BYTES = 10, HEADER_ALIGNMENT = 64 };

typedef struct {
    char type;       /* 'i' or 'u' */
    int item_bytes;  /* 1, 2, 4 or 8 */
    bool big_endian; /* '>' */
    bool fortran_order;
    int axes;
    int64_t shape[AXES_MAX];
    bool has_descr, has_order, has_shape;
} npy_header;

typedef struct {
    const char *at, *end;
} cursor;

static char peek(cursor *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\n' || *text->at == '\t')) text->at++;
    return text->at < text->end ? *text->at : '\0';
}

static bool take(cursor *text, char wanted)
{
    if (peek(text) != wanted) return false;
    text->at++;
    return true;
}

static bool take_word(cursor *text, const char *word)
{
    const size_t length = strlen(word);
    peek(text);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0) return false;
    text->at += length;
    return true;
}

/* 'text' or "text" without escapes, into out (size_bytes). */
static bool take_string(cursor *text, char *out, size_t size_bytes)
{
    const char quote = peek(text);
    if (quote != '\'' && quote != '"') return false;
    text->at++;
    size_t length = 0;
    while (text->at < text->end && *text->at != quote) {
        if (length + 1 >= size_bytes) return false;
        out[length++] = *text->at++;
    }
    out[length] = '\0';
    return take(text, quote);
}

static bool take_shape(cursor *text, npy_header *header)
{
    if (!take(text, '(')) return false;
    while (!take(text, ')')) {
        int64_t value = 0, digits = 0;
        for (char c = peek(text); c >= '0' && c <= '9' && digits < 12; digits++) {
            value = value * 10 + (c - '0');
            text->at++;
            c = text->at < text->end ? *text->at : '\0';
        }
        if (digits == 0 || header->axes == AXES_MAX) return false;
        header->shape[header->axes++] = value;
        if (!take(text, ',') && peek(text) != ')') return false;
    }
    return true;
}

static bool take_descr(cursor *text, npy_header *header)
{
    char descr[16];
    if (!take_string(text, descr, sizeof descr) || strlen(descr) != 3) return false;
    header->big_endian = descr[0] == '>';
    header->type = descr[1];
    header->item_bytes = descr[2] - '0';
    return strchr("<>|=", descr[0]) && strchr("iufbc", descr[1]);
}

static bool parse_dict(cursor *text, npy_header *header)
{
    if (!take(text, '{')) return false;
    while (!take(text, '}')) {
        char key[16];
        if (!take_string(text, key, sizeof key) || !take(text, ':')) return false;
        if (strcmp(key, "descr") == 0 && !header->has_descr) {
            if (!take_descr(text, header)) return false;
            header->has_descr = true;
        } else if (strcmp(key, "fortran_order") == 0 && !header->has_order) {
            header->fortran_order = take_word(text, "True");
            if (!header->fortran_order && !take_word(text, "False")) return false;
            header->has_order = true;
        } else if (strcmp(key, "shape") == 0 && !header->has_shape) {
            if (!take_shape(text, header)) return false;
            header->has_shape = true;
        } else
            return false;
        if (!take(text, ',') && peek(text) != '}') return false;
    }
    return header->has_descr && header->has_order && header->has_shape;
}

/* On success *data is where the values begin. */
static fsfm_status read_header(const uint8_t *bytes, size_t size_bytes, npy_header *header, size_t *data,
                               fsfm_error *err)
{
    if (size_bytes < PREFIX_BYTES || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "npy: not a .npy file, or cut off in its first %d bytes",
                         PREFIX_BYTES);
    const int version = bytes[6];
    if (version < 1 || version > 3)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "npy: version %d, expected 1, 2 or 3", version);
    const size_t prefix = version == 1 ? 10 : 12;
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1 && size_bytes >= prefix) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (size_bytes < prefix || length > size_bytes - prefix)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "npy: the file ends within its header");
    cursor text = {(const char *)bytes + prefix, (const char *)bytes + prefix + length};
    if (!parse_dict(&text, header) || peek(&text) != '\0' || text.at != text.end)
        return fsfm_fail(
            err, FSFM_ERR_FORMAT,
            "npy: its header cannot be understood, expected {'descr': ..., 'fortran_order': False, "
            "'shape': (1, H, W)}");
    *data = prefix + length;
    return FSFM_OK;
}

static fsfm_status check_header(const npy_header *header, size_t value_bytes, fsfm_error *err)
{
    const int bytes = header->item_bytes;
    if (!((header->type == 'i' && (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8)) ||
          (header->type == 'u' && bytes == 1)))
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "npy: values of type %c%d, expected int8, uint8, int16, int32 or int64",
                         header->type, bytes);
    if (header->fortran_order)
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "npy: Fortran order, expected C order (save np.ascontiguousarray(map))");
    const bool is_map = header->axes == 2 || (header->axes == 3 && header->shape[0] == 1);
    if (!is_map)
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "npy: %d axes, the first of %lld, expected the shape (1, H, W) or (H, W)",
                         header->axes, header->axes ? (long long)header->shape[0] : 0LL);
    const int64_t height = header->shape[header->axes - 2], width = header->shape[header->axes - 1];
    FSFM_TRY(fsfm_image_check_sides(width, height, err));
    const size_t want = (size_t)(height * width) * (size_t)bytes;
    if (value_bytes != want)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "npy: %zu bytes of values, expected %zu for %lld x %lld",
                         value_bytes, want, (long long)height, (long long)width);
    return FSFM_OK;
}

static int64_t value_at(const npy_header *header, const uint8_t *item)
{
    const int bytes = header->item_bytes;
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)item[header->big_endian ? bytes - 1 - i : i] << (8 * i);
    if (header->type == 'u' || bytes == 8) return (int64_t)value;
    const uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    return (int64_t)((value ^ sign) - sign);
}

fsfm_status fsfm_map_decode_npy(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    npy_header header = {.type = '?'};
    size_t data = 0;
    FSFM_TRY(read_header(bytes, size_bytes, &header, &data, err));
    FSFM_TRY(check_header(&header, size_bytes - data, err));
    const int height = (int)header.shape[header.axes - 2], width = (int)header.shape[header.axes - 1];
    FSFM_TRY(fsfm_image_create(width, height, 1, out, err));
    const size_t count = (size_t)width * (size_t)height;
    for (size_t i = 0; i < count; i++) {
        const int64_t value = value_at(&header, bytes + data + i * (size_t)header.item_bytes);
        if (value < 0 || value > 255) {
            fsfm_image_free(out);
            return fsfm_fail(err, FSFM_ERR_FORMAT,
                             "npy: value %lld at row %zu, column %zu, expected 0 to 255", (long long)value,
                             i / (size_t)width, i % (size_t)width);
        }
        out->pixels[i] = (uint8_t)value;
    }
    return FSFM_OK;
}

fsfm_status fsfm_map_encode_npy(const fsfm_image *map, uint8_t **bytes, size_t *size_bytes, fsfm_error *err)
{
    *bytes = NULL;
    *size_bytes = 0;
    FSFM_TRY(fsfm_image_check(map, err));
    if (map->channels != 1)
        return fsfm_fail(err, FSFM_ERR_ARG, "a label map has 1 channel, this image has 3");
    const size_t count = (size_t)map->width * (size_t)map->height;
    for (size_t i = 0; i < count; i++)
        if (map->pixels[i] > 127)
            return fsfm_fail(err, FSFM_ERR_ARG, "label %d does not fit int8", map->pixels[i]);
    char dict[128];
    const int length =
        snprintf(dict, sizeof dict, "{'descr': '|i1', 'fortran_order': False, 'shape': (1, %d, %d), }",
                 map->height, map->width);
    const size_t padded =
        ((size_t)PREFIX_BYTES + (size_t)length + HEADER_ALIGNMENT) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    uint8_t *file = malloc(padded + count);
    if (!file)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a label map of %zu bytes", padded + count);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (uint8_t)((padded - PREFIX_BYTES) & 255);
    file[9] = (uint8_t)((padded - PREFIX_BYTES) >> 8);
    memset(file + PREFIX_BYTES, ' ', padded - PREFIX_BYTES);
    memcpy(file + PREFIX_BYTES, dict, (size_t)length);
    file[padded - 1] = '\n';
    memcpy(file + padded, map->pixels, count);
    *bytes = file;
    *size_bytes = padded + count;
    return FSFM_OK;
}
