/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/command.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/number.h"
#include "jobs/nearest.h"
#include "mpi/alike.h"

enum { WORDS_MAX = sizeof((fsfm_arguments *)0)->words / sizeof(char *), OPTIONS_MAX = 64, KNOWN_MAX = 64 };

int fsfm_exit_code(fsfm_status status)
{
    switch (status) {
    case FSFM_OK: return FSFM_EXIT_DONE;
    case FSFM_ERR_ARG: return FSFM_EXIT_USAGE;
    case FSFM_ERR_INTERRUPTED: return FSFM_EXIT_REQUEUE;
    default: return FSFM_EXIT_FAILED;
    }
}

void fsfm_command_print_error(fsfm_error *err)
{
    if (!err->message[0]) return;
    fflush(stdout); /* what was said before the end stands before it */
    fprintf(stderr, "fsfm: %s\n", err->message);
    err->message[0] = '\0';
}

fsfm_status fsfm_command_alike(fsfm_comm *comm, fsfm_error *err)
{
    return fsfm_alike_file(comm, FSFM_ERR_COMM, "the program", "/proc/self/exe", err);
}

fsfm_status fsfm_command_end(fsfm_comm **comm, fsfm_status st, fsfm_error *err)
{
    if (fsfm_comm_rank(*comm) != 0) err->message[0] = '\0'; /* rank 0 has it too */
    if (st != FSFM_OK) fsfm_command_print_error(err);
    fsfm_comm_stop(comm);
    return st;
}

/* The entry of known that is the first length characters of word. */
static const char *find(const char *word, size_t length, const char *const *known)
{
    for (int i = 0; known && known[i]; i++)
        if (strlen(known[i]) == length && strncmp(known[i], word, length) == 0) return known[i];
    return NULL;
}

static fsfm_status fail_unknown(int number, const char *word, const char *const *valued,
                                const char *const *flags, fsfm_error *err)
{
    const char *known[KNOWN_MAX] = {NULL};
    int count = 0;
    for (int i = 0; valued && valued[i] && count < KNOWN_MAX - 1; i++) known[count++] = valued[i];
    for (int i = 0; flags && flags[i] && count < KNOWN_MAX - 1; i++) known[count++] = flags[i];
    const int length = (int)strcspn(word, "=") < 60 ? (int)strcspn(word, "=") : 60;
    char option[64];
    memcpy(option, word, (size_t)length);
    option[length] = '\0';
    if (count == 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "argument %d: %s: unknown option; there are none here", number,
                         option);
    return fsfm_fail(err, FSFM_ERR_ARG, "argument %d: %s: unknown option; nearest known option: %s", number,
                     option, fsfm_nearest_word(option, known));
}

/* The option at argv[*i]; *i moves on to its value where that is an argument of its own. */
static fsfm_status parse_option(int argc, char **argv, int *i, const char *const *valued,
                                const char *const *flags, fsfm_arguments *out, fsfm_error *err)
{
    const char *word = argv[*i], *equals = strchr(word, '='), *name, *value = NULL;
    const size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const int number = *i + 1;
    if ((name = find(word, length, valued))) {
        if (!equals && *i + 1 >= argc)
            return fsfm_fail(err, FSFM_ERR_ARG, "argument %d: %s: expected a value behind it, found nothing",
                             number, name);
        value = equals ? equals + 1 : argv[++*i];
    } else if ((name = find(word, length, flags))) {
        if (equals)
            return fsfm_fail(err, FSFM_ERR_ARG, "argument %d: %s: takes no value, found '%.60s'", number,
                             name, equals + 1);
    } else {
        return fail_unknown(number, word, valued, flags, err);
    }
    if (out->option_count == OPTIONS_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "argument %d: expected at most %d options", number,
                         (int)OPTIONS_MAX);
    out->options[out->option_count].name = name;
    out->options[out->option_count++].value = value;
    return FSFM_OK;
}

fsfm_status fsfm_arguments_parse(int argc, char **argv, const char *const *valued, const char *const *flags,
                                 fsfm_arguments *out, fsfm_error *err)
{
    bool only_words = false; /* behind "--" */
    memset(out, 0, sizeof *out);
    out->argc = argc;
    out->argv = argv;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && word[0] == '-' && word[1] != '\0') {
            FSFM_TRY(parse_option(argc, argv, &i, valued, flags, out, err));
        } else {
            if (out->word_count == WORDS_MAX)
                return fsfm_fail(err, FSFM_ERR_ARG, "argument %d: expected at most %d words", i + 1,
                                 (int)WORDS_MAX);
            out->words[out->word_count++] = argv[i];
        }
    }
    return FSFM_OK;
}

const char *fsfm_arguments_get(const fsfm_arguments *arguments, const char *name, const char *fallback)
{
    for (int i = arguments->option_count - 1; i >= 0; i--)
        if (arguments->options[i].value && strcmp(arguments->options[i].name, name) == 0)
            return arguments->options[i].value;
    return fallback;
}

int fsfm_arguments_has(const fsfm_arguments *arguments, const char *name)
{
    for (int i = 0; i < arguments->option_count; i++)
        if (strcmp(arguments->options[i].name, name) == 0) return 1;
    return 0;
}

fsfm_status fsfm_arguments_int(const fsfm_arguments *arguments, const char *name, int64_t fallback,
                               int64_t min, int64_t max, int64_t *out, fsfm_error *err)
{
    const char *text = fsfm_arguments_get(arguments, name, NULL);
    int64_t value = fallback;
    if (text && (!fsfm_number_int(text, &value) || value < min || value > max))
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "%s: expected a whole number from %" PRId64 " to %" PRId64 ", found '%.60s'", name,
                         min, max, text);
    *out = value;
    return FSFM_OK;
}

fsfm_status fsfm_arguments_real(const fsfm_arguments *arguments, const char *name, double fallback,
                                double min, double max, double *out, fsfm_error *err)
{
    const char *text = fsfm_arguments_get(arguments, name, NULL);
    double value = fallback;
    if (text && (!fsfm_number_real(text, &value) || value < min || value > max)) {
        char low[32], high[32];
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: expected a number from %s to %s, found '%.60s'", name,
                         fsfm_number_format(min, low), fsfm_number_format(max, high), text);
    }
    *out = value;
    return FSFM_OK;
}
