/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/submit/batch.h"

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

fsfm_status fsfm_batch_submit(const char *script, const char *instead, char answer[256], fsfm_error *err)
{
    char *command = NULL, rest[256];
    size_t size_bytes = 0;
    answer[0] = '\0';
    FILE *stream = open_memstream(&command, &size_bytes);
    if (!stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a command");
    fputs("exec 2>&1; sbatch --parsable ", stream);
    fsfm_batch_put_quoted(stream, script);
    const bool is_whole = fclose(stream) == 0;
    FILE *pipe = is_whole ? popen(command, "re") : NULL;
    const int reason = errno;
    free(command);
    if (!pipe) return fsfm_fail(err, FSFM_ERR_IO, "sbatch cannot be started: %s", strerror(reason));
    if (!fgets(answer, 256, pipe)) answer[0] = '\0';
    while (fgets(rest, sizeof rest, pipe)) {} /* to its end, or sbatch could not write */
    const int state = pclose(pipe);
    answer[strcspn(answer, "\n")] = '\0';
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return FSFM_OK;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 127)
        return fsfm_fail(
            err, FSFM_ERR_IO,
            "sbatch is not there: expected a machine that submits to SLURM (--dry-run only writes the "
            "script, %s)",
            instead);
    return fsfm_fail(err, FSFM_ERR_IO, "sbatch refuses %s: %s", script, *answer ? answer : "without a word");
}
