/* SPDX-License-Identifier: Apache-2.0
 * jobs/command.h - what main.c knows of each command. */
#ifndef FSFM_JOBS_COMMAND_H
#define FSFM_JOBS_COMMAND_H

#include <stdint.h>

#include "core/base/status.h"
#include "mpi/comm.h"

enum { FSFM_EXIT_DONE = 0, FSFM_EXIT_FAILED = 1, FSFM_EXIT_USAGE = 2, FSFM_EXIT_REQUEUE = 75 };

/* One command. run gets the arguments behind the command's name and returns an exit code; where that is not
 * FSFM_EXIT_DONE, err holds the one line that main prints (nothing if err->message is empty: another rank
 * prints it). main itself answers --help (usage, then help). */
typedef struct {
    const char *name;
    const char *usage;   /* "pack IN OUT [--encoding raw|jpeg] ..." */
    const char *summary; /* one line for the list of commands */
    const char *help;    /* more lines: options */
    int (*run)(int argc, char **argv, fsfm_error *err);
} fsfm_command;

/* FSFM_ERR_ARG -> 2, FSFM_ERR_INTERRUPTED -> 75, other failures -> 1, FSFM_OK -> 0. */
int fsfm_exit_code(fsfm_status status);
/* Prints err's line and empties it; nothing if it is empty. A command on ranks does so on rank 0 before
 * fsfm_comm_stop(): mpirun ends everybody as soon as one rank exits with a failure, and may drop what is
 * printed later. */
void fsfm_command_print_error(fsfm_error *err);
/* Collective: whether all ranks run the very same program; fails with FSFM_ERR_COMM, naming those that do
 * not. */
FSFM_MUST_USE
fsfm_status fsfm_command_alike(fsfm_comm *comm, fsfm_error *err);
/* Collective: what every command on ranks ends with. Rank 0 prints err's line where st is a failure, the
 * others empty it, MPI stops. Returns st. */
fsfm_status fsfm_command_end(fsfm_comm **comm, fsfm_status st, fsfm_error *err);

extern const fsfm_command fsfm_command_config, fsfm_command_synth, fsfm_command_pack, fsfm_command_inspect,
    fsfm_command_mask, fsfm_command_pretrain, fsfm_command_verify, fsfm_command_bench, fsfm_command_plan,
    fsfm_command_sweep, fsfm_command_submit;

/* Arguments: "--name value" or "--name=value" among words. */
typedef struct {
    int argc;
    char **argv; /* borrowed */
    int word_count;
    char *words[256]; /* those that are not options, in order */
    int option_count;
    struct {
        const char *name;  /* "--ratio" */
        const char *value; /* NULL for a flag */
    } options[64];
} fsfm_arguments;
/* valued and flags list the known options, ended by NULL. Errors name the argument and the nearest known
 * option. */
FSFM_MUST_USE
fsfm_status fsfm_arguments_parse(int argc, char **argv, const char *const *valued, const char *const *flags,
                                 fsfm_arguments *out, fsfm_error *err);
/* The last value of an option, or fallback. */
const char *fsfm_arguments_get(const fsfm_arguments *arguments, const char *name, const char *fallback);
int fsfm_arguments_has(const fsfm_arguments *arguments, const char *name);
FSFM_MUST_USE
fsfm_status fsfm_arguments_int(const fsfm_arguments *arguments, const char *name, int64_t fallback,
                               int64_t min, int64_t max, int64_t *out, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_arguments_real(const fsfm_arguments *arguments, const char *name, double fallback,
                                double min, double max, double *out, fsfm_error *err);
#endif
