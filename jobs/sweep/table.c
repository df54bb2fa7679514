/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void fsfm_table_add(fsfm_table *table, const char *fmt, ...)
{
    char *text = NULL, **grown = realloc(table->cell, ((size_t)table->count + 1) * sizeof *grown);
    va_list args;
    va_start(args, fmt);
    if (grown) table->cell = grown;
    if (!grown || vasprintf(&text, fmt, args) < 0)
        table->is_cut_off = true;
    else
        table->cell[table->count++] = text;
    va_end(args);
}

static int width_of(const fsfm_table *table, int column)
{
    int widest = 0;
    for (int i = column; i < table->count; i += table->columns) {
        const int width = (int)strlen(table->cell[i]);
        widest = width > widest ? width : widest;
    }
    return widest;
}

fsfm_status fsfm_table_print(const fsfm_table *table, FILE *stream, fsfm_error *err)
{
    int *width = calloc((size_t)table->columns, sizeof *width);
    const bool is_good = width && !table->is_cut_off;
    for (int column = 0; is_good && column < table->columns; column++)
        width[column] = width_of(table, column);
    for (int i = 0; is_good && i < table->count; i++) {
        const int column = i % table->columns;
        bool is_last = true; /* nothing but empty cells behind it */
        for (int rest = i + 1; rest < table->count && rest % table->columns > column; rest++)
            is_last = is_last && !*table->cell[rest];
        fprintf(stream, "%s%-*s", column && !(is_last && !*table->cell[i]) ? "  " : "",
                is_last ? 0 : width[column], table->cell[i]);
        if (column == table->columns - 1) fputc('\n', stream);
    }
    free(width);
    return is_good ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "out of memory for a table");
}

void fsfm_table_free(fsfm_table *table)
{
    for (int i = 0; i < table->count; i++) free(table->cell[i]);
    free(table->cell);
    *table = (fsfm_table){0};
}
