/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pictures.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/draw.h"
#include "io/font.h"

enum { MARGIN = 16, GAP = 6, CAPTION_CHARACTERS = 48, TITLE_CHARACTERS = 200, LARGE_CELL = 160 };

typedef char caption[CAPTION_CHARACTERS];

struct fsfm_sheet {
    int columns, rows, cell;
    char title[TITLE_CHARACTERS];
    caption *column_captions, *row_captions;
    uint8_t *pixels;     /* (rows, columns, cell, cell, 3) */
    bool *is_filled;     /* (rows, columns) */
    fsfm_status trouble; /* of a put that had no memory; reported by the write */
};

static const uint8_t faint[3] = {214, 218, 224};

fsfm_status fsfm_sheet_create(int columns, int rows, int cell, const char *title, fsfm_sheet **out,
                              fsfm_error *err)
{
    *out = NULL;
    if (columns < 1 || rows < 1 || cell < 8 || (int64_t)columns * (cell + GAP) > FSFM_IMAGE_SIDE_MAX - 1024 ||
        (int64_t)rows * (cell + GAP) > FSFM_IMAGE_SIDE_MAX - 1024)
        return fsfm_fail(err, FSFM_ERR_ARG, "a sheet of %d x %d pictures of %d pixels is empty or too large",
                         columns, rows, cell);
    const size_t cells = (size_t)columns * (size_t)rows;
    fsfm_sheet *sheet = calloc(1, sizeof *sheet);
    if (sheet) {
        *sheet = (fsfm_sheet){.columns = columns, .rows = rows, .cell = cell};
        snprintf(sheet->title, sizeof sheet->title, "%s", title ? title : "");
        sheet->column_captions = calloc((size_t)columns, sizeof(caption));
        sheet->row_captions = calloc((size_t)rows, sizeof(caption));
        sheet->is_filled = calloc(cells, sizeof *sheet->is_filled);
        sheet->pixels = malloc(cells * (size_t)cell * (size_t)cell * 3);
    }
    if (!sheet || !sheet->column_captions || !sheet->row_captions || !sheet->is_filled || !sheet->pixels) {
        fsfm_sheet_free(&sheet);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a sheet of %d x %d pictures", columns, rows);
    }
    *out = sheet;
    return FSFM_OK;
}

void fsfm_sheet_free(fsfm_sheet **sheet)
{
    if (!*sheet) return;
    free((*sheet)->pixels);
    free((*sheet)->is_filled);
    free((*sheet)->row_captions);
    free((*sheet)->column_captions);
    free(*sheet);
    *sheet = NULL;
}

void fsfm_sheet_column_caption(fsfm_sheet *sheet, int column, const char *text)
{
    if (column >= 0 && column < sheet->columns)
        snprintf(sheet->column_captions[column], sizeof(caption), "%s", text);
}

void fsfm_sheet_row_caption(fsfm_sheet *sheet, int row, const char *text)
{
    if (row >= 0 && row < sheet->rows) snprintf(sheet->row_captions[row], sizeof(caption), "%s", text);
}

static uint8_t *cell_pixels(const fsfm_sheet *sheet, int column, int row)
{
    return sheet->pixels + ((size_t)row * (size_t)sheet->columns + (size_t)column) * (size_t)sheet->cell *
                               (size_t)sheet->cell * 3;
}

void fsfm_sheet_put(fsfm_sheet *sheet, int column, int row, const uint8_t *pixels, int size)
{
    if (column < 0 || column >= sheet->columns || row < 0 || row >= sheet->rows) return;
    const size_t side = (size_t)sheet->cell;
    uint8_t *target = cell_pixels(sheet, column, row);
    uint8_t *copy = size == sheet->cell ? NULL : malloc((size_t)size * (size_t)size * 3);
    if (size == sheet->cell)
        memcpy(target, pixels, side * side * 3);
    else if (!copy)
        sheet->trouble = FSFM_ERR_MEMORY;
    else {
        memcpy(copy, pixels, (size_t)size * (size_t)size * 3);
        const fsfm_image image = {.width = size, .height = size, .channels = 3, .pixels = copy};
        fsfm_image scaled;
        fsfm_error err;
        const fsfm_status st = fsfm_image_crop_resize(&image, 0, 0, size, size, sheet->cell, &scaled, &err);
        if (st == FSFM_OK) memcpy(target, scaled.pixels, side * side * 3);
        if (st != FSFM_OK) sheet->trouble = st;
        fsfm_image_free(&scaled);
    }
    free(copy);
    sheet->is_filled[(size_t)row * (size_t)sheet->columns + (size_t)column] = true;
}

/* Where everything stands on the sheet; captions that nobody set take no room. */
typedef struct {
    int scale, title_scale;
    int left, top; /* of the first cell */
    int gutter;    /* width of the row captions */
    int width, height;
} layout;

static layout lay_out(const fsfm_sheet *sheet)
{
    layout l = {.scale = sheet->cell >= LARGE_CELL ? 2 : 1, .title_scale = 2};
    bool has_columns = false;
    for (int row = 0; row < sheet->rows; row++) {
        const int width = fsfm_font_width(sheet->row_captions[row], l.scale);
        l.gutter = width > l.gutter ? width : l.gutter;
    }
    for (int column = 0; column < sheet->columns; column++)
        has_columns = has_columns || sheet->column_captions[column][0];
    const int cells_width = sheet->columns * (sheet->cell + GAP) - GAP;
    l.left = MARGIN + (l.gutter ? l.gutter + 8 : 0);
    l.width = l.left + cells_width + MARGIN;
    if (fsfm_font_width(sheet->title, l.title_scale) > l.width - 2 * MARGIN) l.title_scale = 1;
    l.top = MARGIN + (sheet->title[0] ? FSFM_FONT_HEIGHT * l.title_scale + 10 : 0) +
            (has_columns ? FSFM_FONT_HEIGHT * l.scale + 4 : 0);
    l.height = l.top + sheet->rows * (sheet->cell + GAP) - GAP + MARGIN;
    return l;
}

static void draw_captions(const fsfm_sheet *sheet, const layout *l, fsfm_image *canvas)
{
    fsfm_font_draw(canvas, MARGIN, MARGIN, l->title_scale, l->width - 2 * MARGIN, sheet->title, fsfm_ink);
    for (int column = 0; column < sheet->columns; column++) {
        const char *text = sheet->column_captions[column];
        const int width = fsfm_font_width(text, l->scale),
                  room = sheet->cell + GAP - FSFM_FONT_WIDTH * l->scale / 2;
        const int x =
            l->left + column * (sheet->cell + GAP) + (width < sheet->cell ? (sheet->cell - width) / 2 : 0);
        fsfm_font_draw(canvas, x, l->top - FSFM_FONT_HEIGHT * l->scale - 2, l->scale, room, text, fsfm_ink);
    }
    for (int row = 0; row < sheet->rows; row++) {
        const char *text = sheet->row_captions[row];
        const int x = MARGIN + l->gutter - fsfm_font_width(text, l->scale);
        const int y = l->top + row * (sheet->cell + GAP) + (sheet->cell - 7 * l->scale) / 2;
        fsfm_font_draw(canvas, x, y, l->scale, l->gutter, text, fsfm_ink);
    }
}

/* Copies a cell with a thin frame around it, so that white pictures have an edge. */
static void draw_cell(const fsfm_sheet *sheet, int column, int row, int x, int y, fsfm_image *canvas)
{
    const int side = sheet->cell;
    const uint8_t *from = cell_pixels(sheet, column, row);
    for (int j = -1; j <= side; j++)
        for (int i = -1; i <= side; i++) {
            const bool is_frame = j < 0 || j == side || i < 0 || i == side;
            uint8_t *to = canvas->pixels + ((size_t)(y + j) * (size_t)canvas->width + (size_t)(x + i)) * 3;
            memcpy(to, is_frame ? faint : from + ((size_t)j * (size_t)side + (size_t)i) * 3, 3);
        }
}

static fsfm_status compose(const fsfm_sheet *sheet, fsfm_image *canvas, fsfm_error *err)
{
    const layout l = lay_out(sheet);
    FSFM_TRY(fsfm_draw_begin(l.width, l.height, canvas, err));
    draw_captions(sheet, &l, canvas);
    for (int row = 0; row < sheet->rows; row++)
        for (int column = 0; column < sheet->columns; column++)
            if (sheet->is_filled[(size_t)row * (size_t)sheet->columns + (size_t)column])
                draw_cell(sheet, column, row, l.left + column * (sheet->cell + GAP),
                          l.top + row * (sheet->cell + GAP), canvas);
    return FSFM_OK;
}

fsfm_status fsfm_sheet_write(const fsfm_sheet *sheet, const char *path, fsfm_error *err)
{
    if (sheet->trouble != FSFM_OK)
        return fsfm_fail(err, sheet->trouble, "%s: no memory to scale its pictures", path);
    fsfm_image canvas = {0};
    const fsfm_status st = compose(sheet, &canvas, err) == FSFM_OK ? fsfm_draw_write(&canvas, path, err)
                                                                   : fsfm_context(err, "%s", path);
    fsfm_image_free(&canvas);
    return st;
}
