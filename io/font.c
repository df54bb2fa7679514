/* SPDX-License-Identifier: Apache-2.0 */
#include "io/font.h"

#include <string.h>

enum { COLUMNS = 5, FIRST = ' ', LAST = '~' };

/* One string a character: its rows from the top, seven above the base line and two below it, each a digit of
 * base 32 whose five bits are the pixels, left first ("A": E = .###., H = #...#, V = #####). Rows at the end
 * that are empty are left out. */
static const char *const glyphs[LAST - FIRST + 1] = {
    "",          "4444404",   "AAA",       "AAVAVAA", "4FKE5U4",  "OP248J3", "8KK8LID",
    "448", /* space to ' */
    "2488842",   "8422248",   "04LEL40",   "044V440", "00000C48", "000V",    "00000CC",
    "01248G0", /* ( to / */
    "EHJLPHE",   "4C4444E",   "EH1248V",   "V2421HE", "26AIV22",  "VGU11HE", "68GUHHE",
    "V124888", /* 0 to 7 */
    "EHHEHHE",   "EHHF12C",   "0CC0CC0",   "0CC0C48", "248G842",  "00V0V00", "8421248",
    "EH12404", /* 8 to ? */
    "EH1DLLE",   "EHHVHHH",   "UHHUHHU",   "EHGGGHE", "SIHHHIS",  "VGGUGGV", "VGGUGGG",
    "EHGNHHF", /* @ to G */
    "HHHVHHH",   "E44444E",   "72222IC",   "HIKOKIH", "GGGGGGV",  "HRLLHHH", "HHPLJHH",
    "EHHHHHE", /* H to O */
    "UHHUGGG",   "EHHHLID",   "UHHUKIH",   "FGGE11U", "V444444",  "HHHHHHE", "HHHHHA4",
    "HHHLLLA", /* P to W */
    "HHA4AHH",   "HHHA444",   "V1248GV",   "E88888E", "0G84210",  "E22222E", "4AH",
    "0000000V", /* X to _ */
    "842",       "00E1FHF",   "GGMPHHU",   "00EGGHE", "11DJHHF",  "00EHVGE", "698S888",
    "00FHHHF1E", /* ` to g */
    "GGMPHHH",   "40C444E",   "2062222IC", "GGIKOKI", "C44444E",  "00QLLHH", "00MPHHH",
    "00EHHHE", /* h to o */
    "00UHHHUGG", "00FHHHF11", "00MPGGG",   "00FGE1U", "88S8896",  "00HHHJD", "00HHHA4",
    "00HHLLA",                                                                        /* p to w */
    "00HA4AH",   "00HHHHF1E", "00V248V",   "2448442", "4444444",  "8442448", "008L2", /* x to ~ */
};

static unsigned row_bits(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'A' + 10);
}

static void fill_square(fsfm_image *image, int x, int y, int side, const uint8_t colour[3])
{
    for (int j = y < 0 ? 0 : y; j < y + side && j < image->height; j++)
        for (int i = x < 0 ? 0 : x; i < x + side && i < image->width; i++)
            memcpy(image->pixels + ((size_t)j * (size_t)image->width + (size_t)i) * 3, colour, 3);
}

static void draw_character(fsfm_image *image, int x, int y, int scale, char character,
                           const uint8_t colour[3])
{
    const char *glyph = glyphs[(character < FIRST || character > LAST ? '?' : character) - FIRST];
    for (int row = 0; glyph[row]; row++)
        for (int column = 0; column < COLUMNS; column++)
            if (row_bits(glyph[row]) >> (COLUMNS - 1 - column) & 1)
                fill_square(image, x + column * scale, y + row * scale, scale, colour);
}

int fsfm_font_width(const char *text, int scale)
{
    return (int)strlen(text) * FSFM_FONT_WIDTH * scale;
}

void fsfm_font_draw(fsfm_image *image, int x, int y, int scale, int max_width, const char *text,
                    const uint8_t colour[3])
{
    const int advance = FSFM_FONT_WIDTH * scale, room = max_width / advance, length = (int)strlen(text);
    const int shown = length < room ? length : room;
    for (int i = 0; i < shown; i++) {
        const char character = length > room && i >= room - 2 ? '.' : text[i];
        draw_character(image, x + i * advance, y, scale, character, colour);
    }
}
