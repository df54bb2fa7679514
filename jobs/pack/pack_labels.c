/* SPDX-License-Identifier: Apache-2.0
 * Labelled sets: classes by folder names, groups by file names (DOWNSTREAM.md, 3.1). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "jobs/pack/pack.h"

/* 1 real or live, 0 fake or spoof, -1 neither, by the first folder of a relative path. */
static int class_of(const char *path)
{
    if (!strchr(path, '/')) return -1;
    if (strncasecmp(path, "real", 4) == 0 || strncasecmp(path, "live", 4) == 0) return 1;
    if (strncasecmp(path, "fake", 4) == 0 || strncasecmp(path, "spoof", 5) == 0) return 0;
    return -1;
}

/* Group and frame by "..._frame_NUMBER.jpg": the group is the path before it (so CLASS/NAME, with the folders
 * between where there are any), else the path without its extension. */
static fsfm_status set_group(pack_list *list, int64_t i, fsfm_error *err)
{
    const char *path = pack_text(list, list->sources[i].path), *name = strrchr(path, '/') + 1;
    const char *mark = strstr(name, "_frame_");
    const size_t length = mark && mark > name ? (size_t)(mark - path) : list->sources[i].id_length;
    char *end, copy[PACK_PATH_SIZE];
    if (mark && mark > name) {
        const char *digits = mark + strlen("_frame_");
        const long frame = strtol(digits, &end, 10);
        if (end != digits && frame >= 0 && frame <= INT32_MAX) list->sources[i].frame = (int32_t)frame;
    }
    snprintf(copy, sizeof copy, "%.*s", (int)length, path); /* the list's text moves as it grows */
    return pack_list_text(list, copy, strlen(copy), &list->sources[i].group, err);
}

fsfm_status pack_label_by_folder(pack_list *list, const char *domain, fsfm_error *err)
{
    int64_t in_classes = 0;
    uint64_t domain_at = 0;
    for (int64_t i = 0; i < list->count; i++)
        in_classes += class_of(pack_text(list, list->sources[i].path)) >= 0;
    if (in_classes < list->count) {
        if (in_classes > 0)
            snprintf(list->note, sizeof list->note,
                     "%" PRId64 " of %" PRId64
                     " images lie in folders named like classes (real, live, fake, spoof); as not "
                     "all do, they are packed without labels",
                     in_classes, list->count);
        return FSFM_OK;
    }
    list->has_labels = true;
    FSFM_TRY(pack_list_text(list, domain, strlen(domain), &domain_at, err));
    for (int64_t i = 0; i < list->count; i++) {
        list->sources[i].label = (int8_t)class_of(pack_text(list, list->sources[i].path));
        list->sources[i].domain = domain_at;
        FSFM_TRY(set_group(list, i, err));
    }
    return FSFM_OK;
}

static int compare_groups(const void *first, const void *second, void *text)
{
    const pack_source *a = first, *b = second;
    const char *const names = text;
    const int order = strcmp(names + a->domain, names + b->domain);
    return order != 0 ? order : strcmp(names + a->group, names + b->group);
}

fsfm_status pack_check_groups(const pack_list *list, fsfm_error *err)
{
    pack_source *sorted = malloc((size_t)(list->count + 1) * sizeof *sorted);
    if (!sorted)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a list of %" PRId64 " files", list->count);
    int64_t known = 0; /* an unknown label is in nobody's way */
    for (int64_t i = 0; i < list->count; i++)
        if (list->sources[i].label >= 0) sorted[known++] = list->sources[i];
    qsort_r(sorted, (size_t)known, sizeof *sorted, compare_groups, list->text);
    fsfm_status st = FSFM_OK;
    for (int64_t i = 1; st == FSFM_OK && i < known; i++) {
        const pack_source *a = &sorted[i - 1], *b = &sorted[i];
        if (a->label != b->label && compare_groups(a, b, list->text) == 0)
            st = fsfm_fail(err, FSFM_ERR_FORMAT,
                           "group '%.120s' of domain '%.60s' has two labels: %.130s is %d, %.130s is %d",
                           pack_text(list, a->group), pack_text(list, a->domain), pack_text(list, a->path),
                           a->label, pack_text(list, b->path), b->label);
    }
    free(sorted);
    return st;
}
