/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/bad_samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fsfm_status no_memory(fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_MEMORY, "list of damaged samples: no memory");
}

void fsfm_bad_samples_free(fsfm_bad_samples *list)
{
    free(list->items);
    memset(list, 0, sizeof *list);
}

static bool contains(const fsfm_bad_samples *list, int source, int64_t sample)
{
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i].source == source && list->items[i].sample == sample) return true;
    return false;
}

static fsfm_status append(fsfm_bad_samples *list, int source, int64_t sample, fsfm_error *err)
{
    if (list->count == list->room) {
        const int64_t room = list->room ? 2 * list->room : 16;
        fsfm_bad_key *items = realloc(list->items, (size_t)room * sizeof *items);
        if (!items) return no_memory(err);
        list->items = items;
        list->room = room;
    }
    list->items[list->count].source = source;
    list->items[list->count++].sample = sample;
    return FSFM_OK;
}

static int by_key(const void *a, const void *b)
{
    const fsfm_bad_sample *x = a, *y = b;
    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

fsfm_status fsfm_bad_samples_merge(fsfm_bad_samples *list, fsfm_comm *comm, const fsfm_bad_sample *found,
                                   int64_t count, fsfm_bad_sample **added, int64_t *added_count,
                                   fsfm_error *err)
{
    const int ranks = fsfm_comm_size(comm);
    int64_t most = count, kept = 0;
    fsfm_bad_sample *mine = NULL, *all = NULL;
    fsfm_status st = FSFM_OK;
    *added = NULL;
    *added_count = 0;
    fsfm_comm_max_i64(comm, &most, 1);
    if (most == 0) return FSFM_OK;
    mine = calloc((size_t)most, sizeof *mine);
    all = calloc((size_t)(most * ranks), sizeof *all);
    st = fsfm_comm_agree(comm, mine && all ? FSFM_OK : no_memory(err), err);
    if (st != FSFM_OK) goto done;
    for (int64_t i = 0; i < most; i++) {
        if (i < count)
            mine[i] = found[i];
        else
            mine[i].source = -1; /* fills up to what the rank with most has */
    }
    fsfm_comm_gather_all(comm, mine, most * (int64_t)sizeof *mine, all);
    qsort(all, (size_t)(most * ranks), sizeof *all, by_key);
    for (int64_t i = 0; i < most * ranks && st == FSFM_OK; i++) {
        if (all[i].source < 0 || contains(list, all[i].source, all[i].sample)) continue;
        st = append(list, all[i].source, all[i].sample, err);
        all[kept++] = all[i];
    }
    st = fsfm_comm_agree(comm, st, err);
    if (st != FSFM_OK) goto done;
    *added = all;
    *added_count = kept;
    all = NULL;
done:
    free(mine);
    free(all);
    return st;
}

fsfm_status fsfm_bad_samples_write(const fsfm_bad_samples *list, char **text, fsfm_error *err)
{
    const size_t entry = 36; /* two numbers, a colon, a space */
    size_t used = 0;
    *text = calloc((size_t)list->count * entry + 1, 1);
    if (!*text) return no_memory(err);
    for (int64_t i = 0; i < list->count; i++)
        used += (size_t)snprintf(*text + used, entry, "%s%d:%" PRId64, i ? " " : "", list->items[i].source,
                                 list->items[i].sample);
    return FSFM_OK;
}

fsfm_status fsfm_bad_samples_parse(const char *text, fsfm_bad_samples *list, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    memset(list, 0, sizeof *list);
    while (*text && st == FSFM_OK) {
        int source = 0, length = 0;
        int64_t sample = 0;
        if (sscanf(text, "%d:%" SCNd64 "%n", &source, &sample, &length) != 2 || source < 0 || sample < 0)
            st = fsfm_fail(err, FSFM_ERR_FORMAT,
                           "list of damaged samples: expected SOURCE:SAMPLE, found '%.20s'", text);
        else
            st = append(list, source, sample, err);
        text += length;
        while (*text == ' ') text++;
    }
    if (st != FSFM_OK) fsfm_bad_samples_free(list);
    return st;
}
