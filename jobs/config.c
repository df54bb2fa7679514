/* SPDX-License-Identifier: Apache-2.0
 * jobs/config.c - `fsfm config`: lists the keys, describes them to editors, checks a file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/command.h"
#include "jobs/config/config_schema.h"
#include "jobs/nearest.h"
#include "jobs/settings.h"

static const char *const subcommands[] = {"list", "schema", "check", NULL};

/* What a value may be: "a whole number from 1 to 64", "`cosine`, `byol`", ... */
static void print_range(const fsfm_option *option)
{
    char text[256];
    switch (option->type) {
    case FSFM_OPTION_CHOICE:
        for (int i = 0; option->choices[i]; i++) printf("%s`%s`", i ? ", " : "", option->choices[i]);
        break;
    case FSFM_OPTION_TEXT: printf("text"); break;
    case FSFM_OPTION_SOURCES: printf("list of `{path, weight}`"); break;
    default: printf("%s", fsfm_option_expectation(option, text, sizeof text));
    }
}

static void print_row(const fsfm_option *option)
{
    const char *fallback = option->fallback;
    printf("| `%s` | ", option->name);
    if (fallback && *fallback) printf("`%s`", fallback);
    printf(" | %s | ", option->unit);
    print_range(option);
    printf(" | %s | %s |\n", option->may_change ? "may change" : "", option->meaning);
}

static int run_list(void)
{
    printf("# Configuration keys\n\n"
           "A configuration is a YAML file with the sections below; a key `mask.ratio` is `ratio` in section "
           "`mask`.\n"
           "`key=value` on the command line overrides the file, the last word on a key counts.\n"
           "\"may change\": a run that is resumed may have another value; every other key is part of the "
           "run.\n\n"
           "This page is the output of `fsfm config list`; `fsfm config schema` gives the same as a JSON "
           "Schema for\n"
           "editors, `fsfm config check FILE` checks a file.\n\n"
           "| key | default | unit | range | on resume | meaning |\n| --- | --- | --- | --- | --- | --- |\n");
    for (int part = 0; part < fsfm_settings_part_count; part++)
        for (int row = 0; row < *fsfm_settings_parts[part].count; row++)
            print_row(&fsfm_settings_parts[part].table[row]);
    return FSFM_EXIT_DONE;
}

static int run_check(int word_count, char **words, int prints_all, fsfm_error *err)
{
    fsfm_settings settings;
    char warning[256], *yaml = NULL;
    fsfm_status st = fsfm_settings_load(words[0], word_count - 1, words + 1, &settings, warning, err);
    if (st != FSFM_OK) return fsfm_exit_code(st);
    if (warning[0]) fprintf(stderr, "fsfm: warning: %s\n", warning);
    if (!prints_all) {
        printf("%s: ok\n", words[0]);
        return FSFM_EXIT_DONE;
    }
    if ((st = fsfm_settings_write(&settings, &yaml, err)) == FSFM_OK) fputs(yaml, stdout);
    free(yaml);
    return fsfm_exit_code(st);
}

static int run(int argc, char **argv, fsfm_error *err)
{
    static const char *const flags[] = {"--print", NULL};
    fsfm_arguments arguments;
    const fsfm_status st = fsfm_arguments_parse(argc, argv, NULL, flags, &arguments, err);
    if (st != FSFM_OK) return fsfm_exit_code(st);
    const char *name = arguments.word_count ? arguments.words[0] : "";
    const int rest = arguments.word_count - 1;
    if (strcmp(name, "check") == 0 && rest >= 1)
        return run_check(rest, arguments.words + 1, fsfm_arguments_has(&arguments, "--print"), err);
    if (strcmp(name, "check") == 0)
        return fsfm_exit_code(fsfm_fail(err, FSFM_ERR_ARG, "config check: expected a FILE, found nothing"));
    if ((strcmp(name, "list") == 0 || strcmp(name, "schema") == 0) && argc > 1)
        return fsfm_exit_code(fsfm_fail(err, FSFM_ERR_ARG, "config %s: expected nothing more, found '%.60s'",
                                        name, argv[argc - 1]));
    if (strcmp(name, "list") == 0) return run_list();
    if (strcmp(name, "schema") == 0) {
        fsfm_config_schema(stdout);
        return FSFM_EXIT_DONE;
    }
    if (!*name)
        return fsfm_exit_code(
            fsfm_fail(err, FSFM_ERR_ARG, "config: expected list, schema or check, found nothing"));
    return fsfm_exit_code(fsfm_fail(err, FSFM_ERR_ARG,
                                    "config: expected list, schema or check, found '%.60s'; nearest: %s",
                                    name, fsfm_nearest_word(name, subcommands)));
}

const fsfm_command fsfm_command_config = {
    .name = "config",
    .usage = "config list | schema | check FILE [key=value ...]",
    .summary = "list the configuration keys, or check a configuration",
    .help = "list     every key with default, unit, range and meaning, as a Markdown table\n"
            "schema   the same as a JSON Schema (draft 2020-12), for editors\n"
            "check    read FILE and the overrides behind it: exit code 0, or 2 and what is wrong\n"
            "\n"
            "--print  with check: print the whole resolved configuration as YAML\n",
    .run = run,
};
