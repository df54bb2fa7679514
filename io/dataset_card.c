/* SPDX-License-Identifier: Apache-2.0
 * dataset.yaml: written in one fixed form, so that its checksum can be computed again from what was read. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/checksum.h"
#include "io/dataset.h"
#include "io/file.h"
#include "io/yaml.h"

#define CARD_FORMAT "fsfm-dataset-1"
enum { PATH_SIZE = 4096, QUOTED_SIZE = 16384 };

void fsfm_dataset_statistics(const fsfm_pixel_sums *sums, double mean[3], double std[3])
{
    for (int c = 0; c < 3; c++) {
        mean[c] = std[c] = 0.0;
        if (sums->pixels == 0) continue;
        /* Long doubles: the sums of a large dataset have more than 53 bits, and the variance is a difference.
         */
        const long double n = (long double)sums->pixels, first = (long double)sums->sum[c] / n;
        const long double variance = (long double)sums->sum_of_squares[c] / n - first * first;
        mean[c] = (double)(first / 255.0L);
        std[c] = variance > 0 ? (double)(sqrtl(variance) / 255.0L) : 0.0;
    }
}

/* Everything that the checksum covers. */
static void write_body(FILE *out, const fsfm_dataset_card *card)
{
    char quoted[512];
    fprintf(out, "format: " CARD_FORMAT "\n");
    fprintf(out, "count: %" PRId64 "\n", card->count);
    fprintf(out, "size: %d\n", card->kind.size);
    fprintf(out, "encoding: %s\n", card->kind.encoding == FSFM_ENCODING_RAW ? "raw" : "jpeg");
    fprintf(out, "label_scheme: %s\n", fsfm_yaml_quote(card->kind.label_scheme, quoted, sizeof quoted));
    fprintf(out, "has_regions: %s\n", card->kind.has_regions ? "true" : "false");
    fprintf(out, "has_labels: %s\n", card->kind.has_labels ? "true" : "false");
    fprintf(out, "mean: [%.17g, %.17g, %.17g]\n", card->mean[0], card->mean[1], card->mean[2]);
    fprintf(out, "std: [%.17g, %.17g, %.17g]\n", card->std[0], card->std[1], card->std[2]);
    fprintf(out, "shards:%s\n", card->shard_count ? "" : " []");
    for (int64_t s = 0; s < card->shard_count; s++)
        fprintf(out, "  - {file: %s, count: %" PRId64 ", xxh3: \"%016" PRIx64 "\"}\n",
                fsfm_yaml_quote(card->shards[s].file, quoted, sizeof quoted), card->shards[s].count,
                card->shards[s].xxh3);
}

static fsfm_status write_quarantine(FILE *out, const fsfm_dataset_card *card, fsfm_error *err)
{
    char *quoted = malloc(QUOTED_SIZE);
    if (!quoted) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for dataset.yaml");
    fprintf(out, "quarantine:%s\n", card->quarantine_count ? "" : " []");
    for (int64_t i = 0; i < card->quarantine_count; i++) {
        const char *line = card->quarantine[i], *colon = strstr(line, ": ");
        char *path = colon ? strndup(line, (size_t)(colon - line)) : strdup(line);
        if (!path) {
            free(quoted);
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for dataset.yaml");
        }
        fprintf(out, "  - path: %s\n", fsfm_yaml_quote(path, quoted, QUOTED_SIZE));
        fprintf(out, "    reason: %s\n", fsfm_yaml_quote(colon ? colon + 2 : "", quoted, QUOTED_SIZE));
        free(path);
    }
    free(quoted);
    return FSFM_OK;
}

static fsfm_status body_checksum(const fsfm_dataset_card *card, uint64_t *out, fsfm_error *err)
{
    char *body = NULL;
    size_t body_bytes = 0;
    FILE *stream = open_memstream(&body, &body_bytes);
    if (stream) write_body(stream, card);
    const int failed = !stream || ferror(stream);
    if (stream && fclose(stream) != 0) body_bytes = 0;
    if (!failed && body_bytes) *out = fsfm_checksum(body, body_bytes);
    free(body);
    if (failed || !body_bytes) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for dataset.yaml");
    return FSFM_OK;
}

fsfm_status fsfm_dataset_card_write(const char *folder, fsfm_dataset_card *card, fsfm_error *err)
{
    char path[PATH_SIZE], *text = NULL;
    size_t text_bytes = 0;
    FSFM_TRY(fsfm_path_join(path, sizeof path, folder, "dataset.yaml", err));
    FSFM_TRY(body_checksum(card, &card->xxh3, err));
    FILE *stream = open_memstream(&text, &text_bytes);
    if (!stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for dataset.yaml");
    fprintf(stream, "# A dataset packed by fsfm. Samples stand in the order of shards, ids in byte order.\n");
    write_body(stream, card);
    fprintf(stream, "checksum: \"%016" PRIx64 "\" # over all lines from format to the last shard\n",
            card->xxh3);
    fsfm_status st = write_quarantine(stream, card, err);
    const int failed = ferror(stream);
    if ((fclose(stream) != 0 || failed) && st == FSFM_OK)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for dataset.yaml");
    if (st == FSFM_OK) st = fsfm_file_write(path, text, text_bytes, err);
    free(text);
    return st;
}

/* ---- Reading. Messages name line and column; the caller adds the file. */

static fsfm_status wrong(const fsfm_yaml_node *node, const char *key, const char *expected, fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%d:%d: %s: expected %s", node->line, node->column, key, expected);
}

static fsfm_status get(const fsfm_yaml_node *map, const char *key, fsfm_yaml_kind kind,
                       const fsfm_yaml_node **out, fsfm_error *err)
{
    static const char *const kinds[] = {"a value", "a list", "a map"};
    *out = fsfm_yaml_get(map, key);
    if (!*out) return fsfm_fail(err, FSFM_ERR_FORMAT, "%d:%d: %s is missing", map->line, map->column, key);
    return (*out)->kind == kind ? FSFM_OK : wrong(*out, key, kinds[kind], err);
}

static fsfm_status get_text(const fsfm_yaml_node *map, const char *key, char *out, size_t size_bytes,
                            fsfm_error *err)
{
    const fsfm_yaml_node *node;
    FSFM_TRY(get(map, key, FSFM_YAML_SCALAR, &node, err));
    if (strlen(node->text) >= size_bytes) return wrong(node, key, "a shorter text", err);
    snprintf(out, size_bytes, "%s", node->text);
    return FSFM_OK;
}

static fsfm_status get_count(const fsfm_yaml_node *map, const char *key, int64_t *out, fsfm_error *err)
{
    const fsfm_yaml_node *node;
    FSFM_TRY(get(map, key, FSFM_YAML_SCALAR, &node, err));
    if (fsfm_yaml_int(node, out, err) != FSFM_OK || *out < 0) return wrong(node, key, "a whole number", err);
    return FSFM_OK;
}

/* Which of two words; anything else is an error. */
static fsfm_status get_either(const fsfm_yaml_node *map, const char *key, const char *no, const char *yes,
                              bool *out, fsfm_error *err)
{
    char expected[64];
    const fsfm_yaml_node *node;
    FSFM_TRY(get(map, key, FSFM_YAML_SCALAR, &node, err));
    *out = strcmp(node->text, yes) == 0;
    if (*out || strcmp(node->text, no) == 0) return FSFM_OK;
    snprintf(expected, sizeof expected, "%s or %s", no, yes);
    return wrong(node, key, expected, err);
}

static fsfm_status get_rgb(const fsfm_yaml_node *map, const char *key, double out[3], fsfm_error *err)
{
    const fsfm_yaml_node *node;
    FSFM_TRY(get(map, key, FSFM_YAML_LIST, &node, err));
    for (int c = 0; c < 3; c++)
        if (node->count != 3 || node->values[c]->kind != FSFM_YAML_SCALAR ||
            fsfm_yaml_real(node->values[c], &out[c], err) != FSFM_OK || !isfinite(out[c]))
            return wrong(node, key, "three numbers", err);
    return FSFM_OK;
}

static fsfm_status get_hex(const fsfm_yaml_node *map, const char *key, uint64_t *out, fsfm_error *err)
{
    const fsfm_yaml_node *node;
    FSFM_TRY(get(map, key, FSFM_YAML_SCALAR, &node, err));
    if (strlen(node->text) != 16 || node->text[strspn(node->text, "0123456789abcdef")] != '\0')
        return wrong(node, key, "16 hexadecimal digits", err);
    *out = strtoull(node->text, NULL, 16);
    return FSFM_OK;
}

static fsfm_status read_shards(const fsfm_yaml_node *root, fsfm_dataset_card *card, fsfm_error *err)
{
    const fsfm_yaml_node *list;
    int64_t sum = 0;
    FSFM_TRY(get(root, "shards", FSFM_YAML_LIST, &list, err));
    if (!(card->shards = calloc((size_t)list->count + 1, sizeof *card->shards)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d shards", list->count);
    card->shard_count = list->count;
    for (int s = 0; s < list->count; s++) {
        fsfm_dataset_shard *shard = &card->shards[s];
        FSFM_TRY(get_text(list->values[s], "file", shard->file, sizeof shard->file, err));
        if (strchr(shard->file, '/')) return wrong(list->values[s], "file", "a file in this folder", err);
        FSFM_TRY(get_count(list->values[s], "count", &shard->count, err));
        FSFM_TRY(get_hex(list->values[s], "xxh3", &shard->xxh3, err));
        sum += shard->count;
    }
    if (sum != card->count)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "count is %" PRId64 ", its shards have %" PRId64 " samples",
                         card->count, sum);
    return FSFM_OK;
}

static fsfm_status read_quarantine(const fsfm_yaml_node *root, fsfm_dataset_card *card, fsfm_error *err)
{
    const fsfm_yaml_node *list, *path, *reason;
    FSFM_TRY(get(root, "quarantine", FSFM_YAML_LIST, &list, err));
    if (!(card->quarantine = calloc((size_t)list->count + 1, sizeof *card->quarantine)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the quarantine list");
    for (int i = 0; i < list->count; i++) {
        FSFM_TRY(get(list->values[i], "path", FSFM_YAML_SCALAR, &path, err));
        FSFM_TRY(get(list->values[i], "reason", FSFM_YAML_SCALAR, &reason, err));
        if (asprintf(&card->quarantine[i], "%s: %s", path->text, reason->text) < 0) {
            card->quarantine[i] = NULL;
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the quarantine list");
        }
        card->quarantine_count = i + 1;
    }
    return FSFM_OK;
}

static fsfm_status read_card(const fsfm_yaml_node *root, fsfm_dataset_card *card, fsfm_error *err)
{
    char format[64];
    bool is_jpeg = false;
    int64_t size = 0;
    uint64_t want = 0;
    FSFM_TRY(get_text(root, "format", format, sizeof format, err));
    if (strcmp(format, CARD_FORMAT) != 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "has format '%s', this program reads '%s'", format,
                         CARD_FORMAT);
    FSFM_TRY(get_count(root, "count", &card->count, err));
    FSFM_TRY(get_count(root, "size", &size, err));
    if (size < 1 || size > 4096)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "size is %" PRId64 ", expected 1 to 4096", size);
    card->kind.size = (int)size;
    FSFM_TRY(get_either(root, "encoding", "raw", "jpeg", &is_jpeg, err));
    card->kind.encoding = is_jpeg ? FSFM_ENCODING_JPEG : FSFM_ENCODING_RAW;
    FSFM_TRY(get_text(root, "label_scheme", card->kind.label_scheme, sizeof card->kind.label_scheme, err));
    FSFM_TRY(get_either(root, "has_regions", "false", "true", &card->kind.has_regions, err));
    FSFM_TRY(get_either(root, "has_labels", "false", "true", &card->kind.has_labels, err));
    FSFM_TRY(get_rgb(root, "mean", card->mean, err));
    FSFM_TRY(get_rgb(root, "std", card->std, err));
    FSFM_TRY(read_shards(root, card, err));
    FSFM_TRY(read_quarantine(root, card, err));
    FSFM_TRY(get_hex(root, "checksum", &want, err));
    FSFM_TRY(body_checksum(card, &card->xxh3, err));
    if (card->xxh3 != want)
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "checksum does not match: the file was changed after it was packed");
    return FSFM_OK;
}

fsfm_status fsfm_dataset_card_read(const char *folder, fsfm_dataset_card *out, fsfm_error *err)
{
    char path[PATH_SIZE];
    fsfm_yaml *yaml = NULL;
    memset(out, 0, sizeof *out);
    FSFM_TRY(fsfm_path_join(path, sizeof path, folder, "dataset.yaml", err));
    if (!fsfm_file_exists(path))
        return fsfm_fail(err, FSFM_ERR_IO,
                         "%s: no packed dataset here: dataset.yaml is missing (fsfm pack writes it)", folder);
    fsfm_status st = fsfm_yaml_read(path, &yaml, err);
    if (st != FSFM_OK) { /* a configuration's error is the user's; this file's is not */
        if (err) err->status = FSFM_ERR_FORMAT;
        return FSFM_ERR_FORMAT;
    }
    st = read_card(fsfm_yaml_root(yaml), out, err);
    if (st != FSFM_OK) {
        fsfm_context(err, "%s", path);
        fsfm_dataset_card_free(out);
    }
    fsfm_yaml_free(&yaml);
    return st;
}

void fsfm_dataset_card_free(fsfm_dataset_card *card)
{
    for (int64_t i = 0; i < card->quarantine_count; i++) free(card->quarantine[i]);
    free(card->quarantine);
    free(card->shards);
    memset(card, 0, sizeof *card);
}
