/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/alike.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/checksum.h"
#include "io/file.h"

enum { HOST_SIZE = 64, LIST_SIZE = 160, LINE_MAX_SHOWN = 90 };

/* What ranks tell of themselves where not all have the same text. */
typedef struct {
    uint64_t checksum;
    char host[HOST_SIZE];
} rank_text;

/* The lowest of the ranks that have what most have. */
static int find_reference(const rank_text *all, int ranks)
{
    int reference = 0, most = 0;
    for (int r = 0; r < ranks; r++) {
        int same = 0;
        for (int other = 0; other < ranks; other++) same += all[other].checksum == all[r].checksum;
        if (same > most) {
            most = same;
            reference = r;
        }
    }
    return reference;
}

static bool is_other(const rank_text *all, int rank, int reference)
{
    return all[rank].checksum != all[reference].checksum;
}

/* "rank 1 (node07), ranks 8-15 (node09), ...": as many as there is room for. */
static void list_others(const rank_text *all, int ranks, int reference, char out[LIST_SIZE])
{
    size_t used = 0;
    out[0] = 0;
    for (int r = 0; r < ranks; r++) {
        char item[HOST_SIZE + 48];
        int last = r;
        if (!is_other(all, r, reference)) continue;
        while (last + 1 < ranks && is_other(all, last + 1, reference) &&
               strcmp(all[last + 1].host, all[r].host) == 0)
            last++;
        if (last == r)
            snprintf(item, sizeof item, "%srank %d (%s)", used ? ", " : "", r, all[r].host);
        else
            snprintf(item, sizeof item, "%sranks %d-%d (%s)", used ? ", " : "", r, last, all[r].host);
        if (used + strlen(item) + sizeof ", ..." > LIST_SIZE) {
            memcpy(out + used, ", ...", sizeof ", ...");
            return;
        }
        memcpy(out + used, item, strlen(item) + 1);
        used += strlen(item);
        r = last;
    }
}

static size_t line_length(const char *line)
{
    return strcspn(line, "\n");
}

/* The line without its indentation, behind the section that it stands in. */
static void show_line(const char *line, const char *section, char out[LINE_MAX_SHOWN])
{
    const int indented = (int)strspn(line, " ");
    if (line[0] == 0)
        snprintf(out, LINE_MAX_SHOWN, "nothing");
    else if (indented && section)
        snprintf(out, LINE_MAX_SHOWN, "%.*s %.*s", (int)line_length(section), section,
                 (int)line_length(line) - indented, line + indented);
    else
        snprintf(out, LINE_MAX_SHOWN, "%.*s", (int)line_length(line) - indented, line + indented);
}

static void show_difference(const char *mine, const char *theirs, char shown_mine[LINE_MAX_SHOWN],
                            char shown_theirs[LINE_MAX_SHOWN])
{
    const char *section = NULL;
    while (*mine && *theirs) {
        const size_t length = line_length(mine);
        if (length != line_length(theirs) || strncmp(mine, theirs, length) != 0) break;
        if (mine[0] != ' ') section = mine;
        mine += length + (mine[length] == '\n');
        theirs += length + (theirs[length] == '\n');
    }
    show_line(mine, section, shown_mine);
    show_line(theirs, section, shown_theirs);
}

/* The reference's text, on every rank; an owned string. */
static fsfm_status share_text(fsfm_comm *comm, const char *mine, int reference, char **out, fsfm_error *err)
{
    int64_t length = (int64_t)strlen(mine);
    fsfm_comm_broadcast(comm, &length, (int64_t)sizeof length, reference);
    *out = calloc((size_t)length + 1, 1);
    fsfm_status st = *out ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to compare ranks");
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) {
        free(*out);
        *out = NULL;
        return st;
    }
    if (fsfm_comm_rank(comm) == reference) memcpy(*out, mine, (size_t)length);
    fsfm_comm_broadcast(comm, *out, length, reference);
    return FSFM_OK;
}

/* The lowest rank that differs says how; all ranks return its message. */
static fsfm_status tell(fsfm_comm *comm, const rank_text *all, fsfm_status status, const char *what,
                        const char *text, fsfm_error *err)
{
    const int ranks = fsfm_comm_size(comm), reference = find_reference(all, ranks);
    char others[LIST_SIZE], mine[LINE_MAX_SHOWN], theirs[LINE_MAX_SHOWN], *shared = NULL;
    fsfm_error told = {status, ""};
    int first = 0;
    FSFM_TRY(share_text(comm, text, reference, &shared, err));
    while (!is_other(all, first, reference)) first++;
    list_others(all, ranks, reference, others);
    show_difference(text, shared, mine, theirs);
    fsfm_fail(&told, status, "%s: not the same on %s as on rank %d (%s): %s, not %s", what, others, reference,
              all[reference].host, mine, theirs);
    fsfm_comm_broadcast(comm, &told, (int64_t)sizeof told, first);
    free(shared);
    if (err) *err = told;
    return status;
}

fsfm_status fsfm_alike_text(fsfm_comm *comm, fsfm_status status, const char *what, const char *text,
                            fsfm_error *err)
{
    const int ranks = fsfm_comm_size(comm);
    rank_text mine, *all = NULL;
    memset(&mine, 0, sizeof mine);
    mine.checksum = fsfm_checksum(text, strlen(text));
    snprintf(mine.host, sizeof mine.host, "%s", fsfm_comm_host(comm));
    int64_t ends[2] = {(int64_t)mine.checksum, (int64_t)~mine.checksum}; /* largest, ~smallest */
    fsfm_comm_max_i64(comm, ends, 2);
    if (ends[0] == ~ends[1]) return FSFM_OK;
    all = calloc((size_t)ranks, sizeof *all);
    fsfm_status st = all ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to compare %d ranks", ranks);
    if ((st = fsfm_comm_agree(comm, st, err)) == FSFM_OK) {
        fsfm_comm_gather_all(comm, &mine, (int64_t)sizeof mine, all);
        st = tell(comm, all, status, what, text, err);
    }
    free(all);
    return st;
}

fsfm_status fsfm_alike_file(fsfm_comm *comm, fsfm_status status, const char *what, const char *path,
                            fsfm_error *err)
{
    char text[sizeof err->message];
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fsfm_error why = {FSFM_OK, ""};
    if (fsfm_comm_size(comm) == 1) return FSFM_OK;
    if (fsfm_file_read(path, &bytes, &size_bytes, &why) == FSFM_OK)
        snprintf(text, sizeof text, "%zu bytes with checksum %016" PRIx64, size_bytes,
                 fsfm_checksum(bytes, size_bytes));
    else
        snprintf(text, sizeof text, "%s", why.message);
    free(bytes);
    return fsfm_alike_text(comm, status, what, text, err);
}
