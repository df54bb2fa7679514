/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chart.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/draw.h"
#include "io/font.h"

enum { TEXT_CHARACTERS = 96, MARGIN = 20, PLOT_WIDTH = 720, PLOT_HEIGHT = 400, SCALE = 2, TICKS_MAX = 12 };
enum { LETTER = FSFM_FONT_WIDTH * SCALE, LINE = FSFM_FONT_HEIGHT * SCALE, DODGE = 8 };

typedef char text[TEXT_CHARACTERS];

typedef struct {
    int series, label;
    double value;
} dot;

struct fsfm_chart {
    text title, x_title, y_title, *labels, names[FSFM_CHART_SERIES_MAX];
    int label_count, series_count, dot_count;
    double *mean, *spread; /* (FSFM_CHART_SERIES_MAX, label_count) */
    dot *dots;
};

static const uint8_t faint[3] = {222, 225, 230}, axis[3] = {120, 126, 136};
static const uint8_t palette[FSFM_CHART_SERIES_MAX][3] = {
    {46, 134, 222},  {232, 72, 85}, {38, 166, 137}, {250, 177, 47},
    {142, 108, 200}, {124, 84, 60}, {96, 125, 139}, {214, 93, 177},
};

fsfm_status fsfm_chart_create(const char *title, const char *x_title, const char *y_title, int label_count,
                              const char *const *labels, fsfm_chart **out, fsfm_error *err)
{
    const size_t points = (size_t)label_count * FSFM_CHART_SERIES_MAX;
    *out = NULL;
    fsfm_chart *chart = label_count > 0 ? calloc(1, sizeof *chart) : NULL;
    if (chart) {
        chart->labels = calloc((size_t)label_count, sizeof *chart->labels);
        chart->mean = malloc(points * sizeof *chart->mean);
        chart->spread = malloc(points * sizeof *chart->spread);
    }
    if (!chart || !chart->labels || !chart->mean || !chart->spread) {
        fsfm_chart_free(&chart);
        return fsfm_fail(err, label_count > 0 ? FSFM_ERR_MEMORY : FSFM_ERR_ARG,
                         "a chart of %d values is empty, or there is no memory for it", label_count);
    }
    snprintf(chart->title, sizeof(text), "%s", title);
    snprintf(chart->x_title, sizeof(text), "%s", x_title);
    snprintf(chart->y_title, sizeof(text), "%s", y_title);
    chart->label_count = label_count;
    for (int i = 0; i < label_count; i++) snprintf(chart->labels[i], sizeof(text), "%s", labels[i]);
    for (size_t i = 0; i < points; i++) chart->mean[i] = chart->spread[i] = NAN;
    *out = chart;
    return FSFM_OK;
}

void fsfm_chart_free(fsfm_chart **chart)
{
    if (!*chart) return;
    free((*chart)->dots);
    free((*chart)->spread);
    free((*chart)->mean);
    free((*chart)->labels);
    free(*chart);
    *chart = NULL;
}

int fsfm_chart_add_series(fsfm_chart *chart, const char *name)
{
    FSFM_ASSERT(chart->series_count < FSFM_CHART_SERIES_MAX);
    snprintf(chart->names[chart->series_count], sizeof(text), "%s", name);
    return chart->series_count++;
}

void fsfm_chart_set(fsfm_chart *chart, int series, int label, double mean, double spread)
{
    chart->mean[series * chart->label_count + label] = mean;
    chart->spread[series * chart->label_count + label] = spread;
}

fsfm_status fsfm_chart_add_dot(fsfm_chart *chart, int series, int label, double value, fsfm_error *err)
{
    dot *grown = realloc(chart->dots, ((size_t)chart->dot_count + 1) * sizeof *grown);
    if (!grown) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a chart's dots");
    chart->dots = grown;
    grown[chart->dot_count++] = (dot){series, label, value};
    return FSFM_OK;
}

/* The values that the picture must hold, on a round grid. */
typedef struct {
    double low, high, step;
} range;

static void widen(range *r, double value)
{
    if (!isfinite(value)) return;
    r->low = fmin(r->low, value);
    r->high = fmax(r->high, value);
}

static range find_range(const fsfm_chart *chart)
{
    range r = {INFINITY, -INFINITY, 1.0};
    for (int i = 0; i < chart->series_count * chart->label_count; i++) {
        const double spread = isfinite(chart->spread[i]) ? chart->spread[i] : 0.0;
        widen(&r, chart->mean[i] - spread);
        widen(&r, chart->mean[i] + spread);
    }
    for (int i = 0; i < chart->dot_count; i++) widen(&r, chart->dots[i].value);
    if (r.low > r.high) r.low = r.high = 0.0;
    double width = r.high - r.low;
    if (!(width > 1e-9 * fmax(fabs(r.low), fabs(r.high)))) {
        width = fmax(fabs(r.high), 1.0) * 0.1; /* one value: some room around it */
        r.low -= 0.5 * width;
        r.high += 0.5 * width;
    }
    const double rough = width / 5.0, unit = pow(10.0, floor(log10(rough))), times = rough / unit;
    r.step = unit * (times <= 1.0 ? 1.0 : times <= 2.0 ? 2.0 : times <= 5.0 ? 5.0 : 10.0);
    r.low = floor(r.low / r.step + 1e-9) * r.step;
    r.high = ceil(r.high / r.step - 1e-9) * r.step;
    return r;
}

/* Where everything stands. */
typedef struct {
    range y;
    int left, top; /* of the plot */
    int width, height;
    int legend; /* its left side */
    text ticks[TICKS_MAX];
    int tick_count;
} layout;

static layout lay_out(const fsfm_chart *chart)
{
    layout l = {.y = find_range(chart)};
    int widest = 0, names = 0;
    l.tick_count = (int)lround((l.y.high - l.y.low) / l.y.step) + 1;
    if (l.tick_count > TICKS_MAX) l.tick_count = TICKS_MAX;
    for (int i = 0; i < l.tick_count; i++) {
        const double value = l.y.low + i * l.y.step;
        snprintf(l.ticks[i], sizeof(text), "%.6g", fabs(value) < 1e-9 * l.y.step ? 0.0 : value);
        const int width = fsfm_font_width(l.ticks[i], SCALE);
        widest = width > widest ? width : widest;
    }
    for (int i = 0; i < chart->series_count; i++) {
        const int width = chart->names[i][0] ? fsfm_font_width(chart->names[i], SCALE) + 40 : 0;
        names = width > names ? width : names;
    }
    l.left = MARGIN + widest + 12;
    l.top = MARGIN + 2 * LINE + 30;
    l.legend = l.left + PLOT_WIDTH + 24;
    l.width = l.legend + names + MARGIN;
    const int title = fsfm_font_width(chart->title, SCALE) + 2 * MARGIN;
    if (title > l.width) l.width = title;
    l.height = l.top + PLOT_HEIGHT + 12 + 2 * LINE + 8 + MARGIN;
    return l;
}

static double x_of(const fsfm_chart *chart, const layout *l, int series, int label)
{
    const double middle = l->left + PLOT_WIDTH * (label + 0.5) / chart->label_count;
    const double room = 0.6 * PLOT_WIDTH / chart->label_count / chart->series_count;
    return middle + (series - 0.5 * (chart->series_count - 1)) * fmin(DODGE, room);
}

static double y_of(const layout *l, double value)
{
    return l->top + PLOT_HEIGHT * (l->y.high - value) / (l->y.high - l->y.low);
}

static void draw_axes(const fsfm_chart *chart, const layout *l, fsfm_image *canvas)
{
    const int bottom = l->top + PLOT_HEIGHT, right = l->left + PLOT_WIDTH;
    int free_from = 0;
    fsfm_font_draw(canvas, MARGIN, MARGIN, SCALE, l->width - 2 * MARGIN, chart->title, fsfm_ink);
    fsfm_font_draw(canvas, MARGIN, MARGIN + LINE + 4, SCALE, l->width - 2 * MARGIN, chart->y_title, axis);
    for (int i = 0; i < l->tick_count; i++) {
        const double y = y_of(l, l->y.low + i * l->y.step);
        fsfm_draw_line(canvas, l->left, y, right, y, 1.0, faint);
        fsfm_font_draw(canvas, l->left - 12 - fsfm_font_width(l->ticks[i], SCALE), (int)y - 7, SCALE,
                       PLOT_WIDTH, l->ticks[i], fsfm_ink);
    }
    fsfm_draw_line(canvas, l->left, bottom, right, bottom, 2.0, axis);
    for (int i = 0; i < chart->label_count; i++) {
        const double x = l->left + PLOT_WIDTH * (i + 0.5) / chart->label_count;
        const int width = fsfm_font_width(chart->labels[i], SCALE), from = (int)x - width / 2;
        fsfm_draw_line(canvas, x, bottom, x, bottom + 6, 2.0, axis);
        if (from < free_from) continue; /* it would lie over the one before */
        fsfm_font_draw(canvas, from, bottom + 12, SCALE, l->width - from, chart->labels[i], fsfm_ink);
        free_from = from + width + LETTER;
    }
    const int width = fsfm_font_width(chart->x_title, SCALE);
    fsfm_font_draw(canvas, l->left + (PLOT_WIDTH - width) / 2, bottom + 12 + LINE + 4, SCALE, PLOT_WIDTH,
                   chart->x_title, axis);
}

static void draw_bar(const layout *l, double x, double mean, double spread, const uint8_t colour[3],
                     fsfm_image *canvas)
{
    const double up = y_of(l, mean + spread), down = y_of(l, mean - spread);
    fsfm_draw_line(canvas, x, up, x, down, 2.0, colour);
    fsfm_draw_line(canvas, x - 5, up, x + 5, up, 2.0, colour);
    fsfm_draw_line(canvas, x - 5, down, x + 5, down, 2.0, colour);
}

static void draw_series(const fsfm_chart *chart, const layout *l, int series, fsfm_image *canvas)
{
    const uint8_t *colour = palette[series];
    double last_x = 0.0, last_y = 0.0;
    bool has_last = false;
    for (int label = 0; label < chart->label_count; label++) {
        const int i = series * chart->label_count + label;
        const double x = x_of(chart, l, series, label), y = y_of(l, chart->mean[i]);
        const bool is_there = isfinite(chart->mean[i]);
        if (is_there && has_last) fsfm_draw_line(canvas, last_x, last_y, x, y, 2.0, colour);
        if (is_there && isfinite(chart->spread[i]))
            draw_bar(l, x, chart->mean[i], chart->spread[i], colour, canvas);
        if (is_there) fsfm_draw_disc(canvas, x, y, 5.0, colour);
        has_last = is_there;
        last_x = x;
        last_y = y;
    }
}

static void draw_legend(const fsfm_chart *chart, const layout *l, fsfm_image *canvas)
{
    int y = l->top + 4;
    for (int i = 0; i < chart->series_count; i++) {
        if (!chart->names[i][0]) continue;
        fsfm_draw_line(canvas, l->legend, y + 7, l->legend + 28, y + 7, 2.0, palette[i]);
        fsfm_draw_disc(canvas, l->legend + 14, y + 7, 5.0, palette[i]);
        fsfm_font_draw(canvas, l->legend + 40, y, SCALE, l->width - l->legend - 40, chart->names[i],
                       fsfm_ink);
        y += LINE + 6;
    }
}

fsfm_status fsfm_chart_write(const fsfm_chart *chart, const char *path, fsfm_error *err)
{
    const layout l = lay_out(chart);
    fsfm_image canvas = {0};
    if (fsfm_draw_begin(l.width, l.height, &canvas, err) != FSFM_OK) return fsfm_context(err, "%s", path);
    draw_axes(chart, &l, &canvas);
    for (int i = 0; i < chart->dot_count; i++)
        fsfm_draw_disc(&canvas, x_of(chart, &l, chart->dots[i].series, chart->dots[i].label),
                       y_of(&l, chart->dots[i].value), 2.5, palette[chart->dots[i].series]);
    for (int i = 0; i < chart->series_count; i++) draw_series(chart, &l, i, &canvas);
    draw_legend(chart, &l, &canvas);
    const fsfm_status st = fsfm_draw_write(&canvas, path, err);
    fsfm_image_free(&canvas);
    return st;
}
