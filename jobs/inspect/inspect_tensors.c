/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/hdf5_list.h"
#include "io/tensor_file.h"
#include "jobs/inspect/inspect.h"

typedef struct {
    inspection *in;
    bool wants_attributes;
    int64_t datasets, entries;
} tensor_list;

static void show_shape(const fsfm_hdf5_entry *entry, char out[128])
{
    size_t used = (size_t)snprintf(out, 128, "(");
    for (int i = 0; i < entry->axes && used < 100; i++)
        used += (size_t)snprintf(out + used, 128 - used, "%s%" PRId64, i ? ", " : "", entry->shape[i]);
    snprintf(out + used, 128 - used, ")");
}

static void show_dataset(tensor_list *list, const fsfm_hdf5_entry *entry)
{
    char shape[128];
    fsfm_json *json = list->in->json;
    int64_t entries = 1;
    for (int i = 0; i < entry->axes; i++) entries *= entry->shape[i];
    list->datasets++;
    list->entries += entries;
    show_shape(entry, shape);
    if (!json) {
        printf("  %-48s %-8s %s\n", entry->name, entry->type, shape);
        return;
    }
    fsfm_json_object_begin(json, NULL);
    fsfm_json_text(json, "name", entry->name);
    fsfm_json_text(json, "type", entry->type);
    fsfm_json_list_begin(json, "shape");
    for (int i = 0; i < entry->axes; i++) fsfm_json_int(json, NULL, entry->shape[i]);
    fsfm_json_list_end(json);
    fsfm_json_object_end(json);
}

/* Attributes that hold a list, not one value, are told by their shape. */
static void visit(void *context, const fsfm_hdf5_entry *entry)
{
    tensor_list *list = context;
    char shape[128];
    if (entry->is_attribute != list->wants_attributes) return;
    if (!entry->is_attribute) {
        show_dataset(list, entry);
        return;
    }
    show_shape(entry, shape);
    const char *value = entry->value[0] || entry->axes == 0 ? entry->value : shape;
    const char *newline = strchr(value, '\n');
    if (list->in->json)
        fsfm_json_text(list->in->json, entry->name, value);
    else
        printf("  %-24s %.*s%s\n", entry->name, newline ? (int)(newline - value) : 200, value,
               newline ? " ..." : "");
}

fsfm_status inspect_tensors(inspection *in, const char *path, const char *format, fsfm_error *err)
{
    const bool is_golden = strncmp(format, "fsfm-golden-", 12) == 0;
    tensor_list list = {in, true, 0, 0};
    fsfm_error reason;
    inspect_text(in, "kind", is_golden ? "golden file" : "checkpoint");
    inspect_text(in, "format", format);
    if (in->json) fsfm_json_object_begin(in->json, "attributes");
    FSFM_TRY(fsfm_hdf5_list(path, visit, &list, err));
    if (in->json) {
        fsfm_json_object_end(in->json);
        fsfm_json_list_begin(in->json, "datasets");
    }
    list.wants_attributes = false;
    FSFM_TRY(fsfm_hdf5_list(path, visit, &list, err));
    if (in->json) fsfm_json_list_end(in->json);
    inspect_int(in, "dataset_count", list.datasets);
    inspect_int(in, "entries", list.entries);
    if (!in->verify) return FSFM_OK;
    if (is_golden) {
        inspect_text(in, "note", "golden files carry no checksums; fsfm verify computes them again");
        return FSFM_OK;
    }
    if (fsfm_tensor_file_verify(path, format, &reason) == FSFM_OK) return FSFM_OK;
    return inspect_damage(in, err, "%s%s",
                          strstr(reason.message, "checksum") ? "" : "checksums: ", reason.message);
}
