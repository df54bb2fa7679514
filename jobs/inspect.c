/* SPDX-License-Identifier: Apache-2.0
 * fsfm inspect: describes a file or dataset, and verifies its checksums. */
#include "jobs/inspect/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/hdf5_list.h"
#include "io/shard.h"
#include "jobs/command.h"

void inspect_text(const inspection *in, const char *key, const char *value)
{
    if (in->json)
        fsfm_json_text(in->json, key, value);
    else
        printf("%-14s %s\n", key, value);
}

void inspect_int(const inspection *in, const char *key, int64_t value)
{
    if (in->json)
        fsfm_json_int(in->json, key, value);
    else
        printf("%-14s %" PRId64 "\n", key, value);
}

void inspect_rgb(const inspection *in, const char *key, const double value[3])
{
    if (!in->json) {
        printf("%-14s %.6f %.6f %.6f\n", key, value[0], value[1], value[2]);
        return;
    }
    fsfm_json_list_begin(in->json, key);
    for (int c = 0; c < 3; c++) fsfm_json_real(in->json, NULL, value[c]);
    fsfm_json_list_end(in->json);
}

fsfm_status inspect_damage(inspection *in, fsfm_error *err, const char *fmt, ...)
{
    va_list args;
    char *line = NULL, **grown = realloc(in->damaged, (size_t)(in->damaged_count + 1) * sizeof *grown);
    if (!grown) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the list of damaged parts");
    in->damaged = grown;
    va_start(args, fmt);
    const int length = vasprintf(&line, fmt, args);
    va_end(args);
    if (length < 0) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the list of damaged parts");
    in->damaged[in->damaged_count++] = line;
    return FSFM_OK;
}

static fsfm_status inspect_path(inspection *in, const char *path, fsfm_error *err)
{
    struct stat info;
    char format[64];
    if (stat(path, &info) != 0) return fsfm_fail(err, FSFM_ERR_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return inspect_dataset(in, path, err);
    FSFM_TRY(fsfm_hdf5_format(path, format, err));
    if (strncmp(format, "fsfm-shard-", 11) == 0) return inspect_shard(in, path, err);
    if (strcmp(format, "fsfm-checkpoint-1") == 0 || strcmp(format, "fsfm-golden-1") == 0)
        return inspect_tensors(in, path, format, err);
    return fsfm_fail(
        err, FSFM_ERR_FORMAT,
        "%s: HDF5 file of unknown format '%s'; known are fsfm-shard-1, fsfm-checkpoint-1, fsfm-golden-1 and "
        "folders with a dataset.yaml",
        path, format);
}

static fsfm_status conclude(const inspection *in, const char *path, fsfm_error *err)
{
    if (in->json && in->verify) {
        fsfm_json_list_begin(in->json, "damaged");
        for (int64_t i = 0; i < in->damaged_count; i++) fsfm_json_text(in->json, NULL, in->damaged[i]);
        fsfm_json_list_end(in->json);
    }
    for (int64_t i = 0; !in->json && i < in->damaged_count; i++) printf("damaged: %s\n", in->damaged[i]);
    if (in->verify && in->damaged_count == 0 && !in->json) printf("every checksum matches\n");
    if (in->damaged_count == 0) return FSFM_OK;
    if (in->damaged_count == 1)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: damaged: %s", path, in->damaged[0]);
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: %" PRId64 " damaged parts, the first: %s", path,
                     in->damaged_count, in->damaged[0]);
}

/* The JSON text appears as a whole or, on failure, not at all. */
static fsfm_status inspect_one(inspection *in, bool wants_json, const char *path, fsfm_error *err)
{
    char *text = NULL;
    size_t text_bytes = 0;
    fsfm_json json = {0};
    if (wants_json) {
        if (!(json.stream = open_memstream(&text, &text_bytes)))
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a text");
        /* cppcheck-suppress autoVariables ; taken back before json goes */
        in->json = &json;
        fsfm_json_object_begin(in->json, NULL);
    }
    inspect_text(in, "path", path);
    fsfm_status st = inspect_path(in, path, err);
    const bool is_described = st == FSFM_OK;
    if (is_described) st = conclude(in, path, err);
    if (wants_json) {
        fsfm_json_object_end(in->json);
        if (fclose(json.stream) == 0 && is_described) printf("%s\n", text);
        free(text);
        in->json = NULL;
    }
    return st;
}

static int run(int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {NULL}, *const flags[] = {"--verify", "--json", NULL};
    inspection in = {0};
    fsfm_arguments *arguments = calloc(1, sizeof *arguments);
    fsfm_status st = arguments ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for arguments");
    if (st == FSFM_OK) st = fsfm_arguments_parse(argc, argv, valued, flags, arguments, err);
    if (st == FSFM_OK && arguments->word_count != 1)
        st = fsfm_fail(err, FSFM_ERR_ARG, "inspect: expected one PATH, found %d words (fsfm inspect --help)",
                       arguments->word_count);
    if (st == FSFM_OK) {
        in.verify = fsfm_arguments_has(arguments, "--verify");
        st = inspect_one(&in, fsfm_arguments_has(arguments, "--json"), arguments->words[0], err);
    }
    for (int64_t i = 0; i < in.damaged_count; i++) free(in.damaged[i]);
    free(in.damaged);
    free(arguments);
    return fsfm_exit_code(st);
}

const fsfm_command fsfm_command_inspect = {
    .name = "inspect",
    .usage = "inspect PATH [--verify] [--json]",
    .summary = "describe a dataset, shard, checkpoint or golden file; verify its checksums",
    .help = "PATH is the folder of a packed dataset, or a shard, checkpoint or golden file.\n"
            "\n"
            "  --verify  compare every checksum: exit code 1, and the damaged parts by name, where one does "
            "not match\n"
            "  --json    one JSON object instead of text\n",
    .run = run,
};
