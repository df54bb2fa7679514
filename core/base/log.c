/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { BAR_COLUMNS = 24 };

void fsfm_log_open(fsfm_log *log, FILE *out)
{
    memset(log, 0, sizeof *log);
    log->out = out;
    log->is_terminal = out && isatty(fileno(out));
    pthread_mutex_init(&log->lock, NULL);
}

void fsfm_log_line(fsfm_log *log, const char *fmt, ...)
{
    if (!log->out) return;
    va_list args;
    va_start(args, fmt);
    pthread_mutex_lock(&log->lock);
    if (log->bar_shown) fputs("\r\033[K", log->out);
    log->bar_shown = false;
    vfprintf(log->out, fmt, args);
    fputc('\n', log->out);
    fflush(log->out);
    pthread_mutex_unlock(&log->lock);
    va_end(args);
}

void fsfm_log_bar(fsfm_log *log, double share, const char *fmt, ...)
{
    if (!log->out || !log->is_terminal) return;
    const int filled = (int)(fmin(fmax(share, 0.0), 1.0) * BAR_COLUMNS);
    va_list args;
    va_start(args, fmt);
    pthread_mutex_lock(&log->lock);
    fputs("\r[", log->out);
    for (int column = 0; column < BAR_COLUMNS; column++) fputc(column < filled ? '#' : ' ', log->out);
    fputs("] ", log->out);
    vfprintf(log->out, fmt, args);
    fputs("\033[K", log->out);
    fflush(log->out);
    log->bar_shown = true;
    pthread_mutex_unlock(&log->lock);
    va_end(args);
}

void fsfm_log_close(fsfm_log *log)
{
    if (log->out && log->bar_shown) fputc('\n', log->out);
    if (log->out) fflush(log->out);
    pthread_mutex_destroy(&log->lock);
    log->out = NULL;
}

const char *fsfm_log_duration(double seconds, char *out)
{
    const int64_t whole = isfinite(seconds) && seconds > 0 ? (int64_t)(seconds + 0.5) : 0;
    if (whole >= 3600)
        snprintf(out, 32, "%" PRId64 ":%02d:%02d", whole / 3600, (int)(whole / 60 % 60), (int)(whole % 60));
    else if (whole >= 60)
        snprintf(out, 32, "%d min %02d s", (int)(whole / 60), (int)(whole % 60));
    else
        snprintf(out, 32, "%d s", (int)whole);
    return out;
}
