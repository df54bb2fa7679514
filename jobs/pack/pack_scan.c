/* SPDX-License-Identifier: Apache-2.0
 * Finds images below a folder and the map of each. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "jobs/pack/pack.h"

enum { DEPTH_MAX = 64 }; /* folders in folders; links in a circle end here */

static bool has_extension(const char *name, const char *const *extensions)
{
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot && dot > name && extensions[i]; i++)
        if (strcasecmp(dot, extensions[i]) == 0) return true;
    return false;
}

static const char *const image_extensions[] = {".png", ".jpg", ".jpeg", NULL};
static const char *const map_extensions[] = {".npy", ".png", NULL};

typedef struct {
    const char *const *extensions;
    const char *skip; /* a folder at the top that is not entered; NULL: none */
    pack_list *list;
    char path[PACK_PATH_SIZE]; /* root/relative path */
    size_t root_length;        /* with the slash */
} walk;

typedef enum { ENTRY_OTHER, ENTRY_FILE, ENTRY_FOLDER } entry_kind;

/* Links are followed. */
static entry_kind kind_of(const walk *w, const struct dirent *entry)
{
    struct stat info;
    if (entry->d_type == DT_REG) return ENTRY_FILE;
    if (entry->d_type == DT_DIR) return ENTRY_FOLDER;
    if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) || stat(w->path, &info) != 0)
        return ENTRY_OTHER;
    return S_ISREG(info.st_mode) ? ENTRY_FILE : S_ISDIR(info.st_mode) ? ENTRY_FOLDER : ENTRY_OTHER;
}

static fsfm_status walk_folder(walk *w, size_t length, int depth, fsfm_error *err);

/* w->path is the entry's, length long. A broken link to an image is listed too: it is a bad file. */
static fsfm_status walk_entry(walk *w, const struct dirent *entry, size_t length, int depth, fsfm_error *err)
{
    const entry_kind kind = kind_of(w, entry);
    const char *relative = w->path + w->root_length;
    if (kind == ENTRY_FOLDER) {
        if (w->skip && strcmp(relative, w->skip) == 0) return FSFM_OK;
        w->path[length] = '/';
        w->path[length + 1] = '\0';
        return walk_folder(w, length + 1, depth + 1, err);
    }
    const bool is_broken_link = kind == ENTRY_OTHER && entry->d_type == DT_LNK;
    if ((kind != ENTRY_FILE && !is_broken_link) || !has_extension(entry->d_name, w->extensions))
        return FSFM_OK;
    return pack_list_add(w->list, relative, err);
}

/* w->path is the folder with a slash behind, length long. Hidden files and folders are left out. */
static fsfm_status walk_folder(walk *w, size_t length, int depth, fsfm_error *err)
{
    if (depth > DEPTH_MAX)
        return fsfm_fail(err, FSFM_ERR_IO, "%.300s: folders nested deeper than %d: a link in a circle?",
                         w->path, DEPTH_MAX);
    DIR *dir = opendir(w->path);
    if (!dir) return fsfm_fail(err, FSFM_ERR_IO, "%.400s: cannot be listed: %s", w->path, strerror(errno));
    fsfm_status st = FSFM_OK;
    while (st == FSFM_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno != 0)
            st = fsfm_fail(err, FSFM_ERR_IO, "%.400s: cannot be listed: %s", w->path, strerror(errno));
        if (!entry) break;
        if (entry->d_name[0] == '.') continue;
        const size_t name_length = strlen(entry->d_name);
        if (length + name_length + 2 > sizeof w->path) {
            st = fsfm_fail(err, FSFM_ERR_IO, "%.200s...: path longer than %d bytes", w->path,
                           PACK_PATH_SIZE - 2);
            break;
        }
        memcpy(w->path + length, entry->d_name, name_length + 1);
        st = walk_entry(w, entry, length + name_length, depth, err);
        w->path[length] = '\0';
    }
    closedir(dir);
    return st;
}

static fsfm_status walk_root(const char *root, const char *skip, const char *const *extensions,
                             pack_list *list, fsfm_error *err)
{
    walk *w = calloc(1, sizeof *w);
    if (!w) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a path");
    w->extensions = extensions;
    w->skip = skip;
    w->list = list;
    w->root_length = strlen(root) + 1;
    fsfm_status st = FSFM_OK;
    if (w->root_length + 1 > sizeof w->path)
        st = fsfm_fail(err, FSFM_ERR_ARG, "%.200s...: path too long", root);
    else
        snprintf(w->path, sizeof w->path, "%s/", root);
    if (st == FSFM_OK) st = walk_folder(w, w->root_length, 0, err);
    free(w);
    pack_list_sort(list);
    return st;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* -1, 0, 1: order of the ids of a and b. */
static int compare_ids(const pack_list *list_a, const pack_source *a, const pack_list *list_b,
                       const pack_source *b)
{
    const uint32_t shorter = a->id_length < b->id_length ? a->id_length : b->id_length;
    const int order = memcmp(pack_text(list_a, a->path), pack_text(list_b, b->path), shorter);
    if (order != 0) return order;
    return (a->id_length > b->id_length) - (a->id_length < b->id_length);
}

/* Both lists are sorted by id. Where a map stands there as .npy and .png, the first in byte order (.npy)
 * counts. */
static fsfm_status match_maps(pack_list *list, const pack_list *maps, fsfm_error *err)
{
    int64_t m = 0;
    for (int64_t i = 0; i < list->count; i++) {
        pack_source *source = &list->sources[i];
        while (m < maps->count && compare_ids(maps, &maps->sources[m], list, source) < 0) m++;
        if (m == maps->count || compare_ids(maps, &maps->sources[m], list, source) != 0) continue;
        const char *path = pack_text(maps, maps->sources[m].path), *dot = strrchr(path, '.');
        source->map_kind = strcasecmp(dot, ".npy") == 0 ? PACK_MAP_NPY : PACK_MAP_PNG;
        FSFM_TRY(pack_list_text(list, path, strlen(path), &source->map, err));
    }
    return FSFM_OK;
}

static fsfm_status scan_maps(const char *in, pack_list *list, fsfm_error *err)
{
    pack_list maps = {0};
    if (snprintf(list->maps_root, sizeof list->maps_root, "%s/parsing_maps", in) >=
        (int)sizeof list->maps_root)
        return fsfm_fail(err, FSFM_ERR_ARG, "%.200s...: path too long", in);
    fsfm_status st = FSFM_OK;
    if (is_folder(list->maps_root)) st = walk_root(list->maps_root, NULL, map_extensions, &maps, err);
    list->has_maps = st == FSFM_OK && maps.count > 0;
    if (list->has_maps)
        st = match_maps(list, &maps, err);
    else
        list->maps_root[0] = '\0';
    pack_list_free(&maps);
    return st;
}

static fsfm_status scan_folder(const char *in, const char *domain, pack_list *out, fsfm_error *err)
{
    if (snprintf(out->root, sizeof out->root, "%s/images", in) >= (int)sizeof out->root)
        return fsfm_fail(err, FSFM_ERR_ARG, "%.200s...: path too long", in);
    const bool has_images = is_folder(out->root);
    if (!has_images) snprintf(out->root, sizeof out->root, "%s", in);
    FSFM_TRY(walk_root(out->root, has_images ? NULL : "parsing_maps", image_extensions, out, err));
    if (out->count == 0)
        return fsfm_fail(err, FSFM_ERR_IO, "%s: no images below it (.png, .jpg or .jpeg)", out->root);
    FSFM_TRY(pack_label_by_folder(out, domain, err));
    return scan_maps(in, out, err);
}

fsfm_status pack_scan(const char *in, const char *domain, pack_list *out, fsfm_error *err)
{
    struct stat info;
    memset(out, 0, sizeof *out);
    if (stat(in, &info) != 0) return fsfm_fail(err, FSFM_ERR_IO, "%s: %s", in, strerror(errno));
    fsfm_status st =
        S_ISDIR(info.st_mode) ? scan_folder(in, domain, out, err) : pack_scan_csv(in, domain, out, err);
    if (st == FSFM_OK && out->has_labels) st = pack_check_groups(out, err);
    if (st != FSFM_OK) pack_list_free(out);
    return st;
}
