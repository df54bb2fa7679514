/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/submit/batch.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

void fsfm_batch_put_quoted(FILE *stream, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    if (*word && word[strspn(word, safe)] == '\0') {
        fputs(word, stream);
        return;
    }
    fputc('\'', stream);
    for (const char *c = word; *c; c++) fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, stream);
    fputc('\'', stream);
}

/* With --parsable: 17, or 17;cluster. */
static bool is_job_number(const char *line)
{
    const size_t digits = strspn(line, "0123456789");
    return digits > 0 && (line[digits] == '\0' || line[digits] == ';');
}

/* The last job number among the lines of sbatch becomes answer ("" if there is none); the others, as plugins
 * of a site print them, are left in rest, a line each. */
static void read_answer(FILE *pipe, char answer[256], FILE *rest)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    answer[0] = '\0';
    while ((length = getline(&line, &room, pipe)) >= 0) {
        while (length > 0 && isspace((unsigned char)line[length - 1])) line[--length] = '\0';
        if (length < 256 && is_job_number(line)) {
            if (answer[0]) fprintf(rest, "%s\n", answer);
            memcpy(answer, line, (size_t)length + 1);
        } else if (length > 0)
            fprintf(rest, "%s\n", line);
    }
    free(line);
}

/* As one line; of much the end, which says why. */
static const char *in_a_line(char *text)
{
    enum { SHOWN = 300 };
    size_t length = strlen(text);
    if (length && text[length - 1] == '\n') text[--length] = '\0';
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = '|';
    return length == 0 ? "without a word" : length > SHOWN ? text + length - SHOWN : text;
}

static fsfm_status judge(int state, const char *script, const char *instead, const char *answer, char *rest,
                         fsfm_error *err)
{
    if (WIFEXITED(state) && WEXITSTATUS(state) == 127)
        return fsfm_fail(
            err, FSFM_ERR_IO,
            "sbatch is not there: expected a machine that submits to SLURM (--dry-run only writes the "
            "script, %s)",
            instead);
    if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
        return fsfm_fail(err, FSFM_ERR_IO, "sbatch refuses %s: %s", script, in_a_line(rest));
    if (!answer[0])
        return fsfm_fail(err, FSFM_ERR_IO, "sbatch %s: expected the number of a job, found: %s", script,
                         in_a_line(rest));
    fputs(rest, stderr);
    return FSFM_OK;
}

fsfm_status fsfm_batch_submit(const char *script, const char *instead, char answer[256], fsfm_error *err)
{
    char *command = NULL, *rest = NULL;
    size_t size_bytes = 0, rest_bytes = 0;
    FILE *stream = open_memstream(&command, &size_bytes), *others = open_memstream(&rest, &rest_bytes);
    FILE *pipe = NULL;
    fsfm_status st = FSFM_OK;
    answer[0] = '\0';
    if (stream) {
        fputs("exec 2>&1; sbatch --parsable ", stream);
        fsfm_batch_put_quoted(stream, script);
    }
    const bool is_whole = stream && fclose(stream) == 0 && others;
    if (!is_whole)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a command");
    else if (!(pipe = popen(command, "re")))
        st = fsfm_fail(err, FSFM_ERR_IO, "sbatch cannot be started: %s", strerror(errno));
    if (pipe) read_answer(pipe, answer, others);
    if (others && fclose(others) != 0 && st == FSFM_OK) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory");
    const int state = pipe ? pclose(pipe) : 0;
    if (st == FSFM_OK) st = judge(state, script, instead, answer, rest, err);
    free(command);
    free(rest);
    return st;
}
