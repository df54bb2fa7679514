/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/pack/pack.h"

fsfm_status pack_list_text(pack_list *list, const char *text, size_t length, uint64_t *at, fsfm_error *err)
{
    const uint64_t start = list->text_bytes ? list->text_bytes : 1, need = start + length + 1;
    if (need > list->text_room) {
        char *grown = realloc(list->text, need * 2);
        if (!grown)
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRIu64 " bytes of file names", need * 2);
        list->text = grown;
        list->text_room = need * 2;
    }
    list->text[0] = '\0';
    memcpy(list->text + start, text, length);
    list->text[start + length] = '\0';
    list->text_bytes = need;
    *at = start;
    return FSFM_OK;
}

/* Where the extension begins, or the length. */
static size_t stem_length(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return dot && dot > name ? (size_t)(dot - path) : strlen(path);
}

fsfm_status pack_list_add(pack_list *list, const char *path, fsfm_error *err)
{
    if (list->count == list->room) {
        const int64_t room = list->room ? list->room * 2 : 1024;
        pack_source *grown = realloc(list->sources, (size_t)room * sizeof *grown);
        if (!grown) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a list of %" PRId64 " files", room);
        list->sources = grown;
        list->room = room;
    }
    pack_source *source = &list->sources[list->count];
    memset(source, 0, sizeof *source);
    source->label = -1;
    source->frame = -1;
    source->id_length = (uint32_t)stem_length(path);
    FSFM_TRY(pack_list_text(list, path, strlen(path), &source->path, err));
    list->count++;
    return FSFM_OK;
}

void pack_list_free(pack_list *list)
{
    free(list->sources);
    free(list->text);
    memset(list, 0, sizeof *list);
}

static int compare_ids(const pack_source *a, const pack_source *b, const char *text)
{
    const uint32_t shorter = a->id_length < b->id_length ? a->id_length : b->id_length;
    const int order = memcmp(text + a->path, text + b->path, shorter);
    if (order != 0) return order;
    return (a->id_length > b->id_length) - (a->id_length < b->id_length);
}

static int compare_sources(const void *first, const void *second, void *text)
{
    const pack_source *a = first, *b = second;
    const int order = compare_ids(a, b, text);
    return order != 0 ? order : strcmp((const char *)text + a->path, (const char *)text + b->path);
}

void pack_list_sort(pack_list *list)
{
    if (list->count > 0)
        qsort_r(list->sources, (size_t)list->count, sizeof *list->sources, compare_sources, list->text);
    for (int64_t i = 1; i < list->count; i++)
        list->sources[i].is_duplicate =
            compare_ids(&list->sources[i - 1], &list->sources[i], list->text) == 0;
}
