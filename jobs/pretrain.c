/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "jobs/command.h"
#include "jobs/settings.h"
#include "jobs/version.h"
#include "mpi/alike.h"
#include "mpi/start_guard.h"
#include "mpi/stop.h"
#include "mpi/train_loop.h"

static fsfm_status compare_config(void *context, const char *old_config, fsfm_error *err)
{
    return fsfm_settings_compare(context, old_config, err);
}

/* mpirun gives its ranks a terminal of its own making even where its output goes to a file: what mpirun
 * writes to counts then. */
static bool launcher_writes_to_file(void)
{
    char link[64], target[256];
    ssize_t length = 0;
    if (!getenv("OMPI_COMM_WORLD_SIZE")) return false;
    snprintf(link, sizeof link, "/proc/%ld/fd/1", (long)getppid());
    length = readlink(link, target, sizeof target - 1);
    if (length < 0) return true;
    target[length] = 0;
    return strncmp(target, "/dev/pts/", 9) != 0 && strncmp(target, "/dev/tty", 8) != 0;
}

/* What stands before the configuration is read: the arguments' word, else the default. */
static double find_hang_timeout(int argc, char **argv)
{
    static const char key[] = "run.hang_timeout_s";
    const fsfm_option *option = fsfm_settings_find(NULL, key, NULL, NULL);
    fsfm_run_options run;
    fsfm_error unused;
    fsfm_options_defaults(option, 1, &run);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], key, sizeof key - 1) == 0 && argv[i][sizeof key - 1] == '=')
            (void)!fsfm_option_set(option, &run, argv[i] + sizeof key, &unused); /* refused later */
    return run.hang_timeout_s;
}

static fsfm_status run(fsfm_comm *comm, fsfm_settings *settings, const char *config, fsfm_start_guard *guard,
                       fsfm_log *log, fsfm_error *err)
{
    fsfm_train_job job = fsfm_settings_job(settings);
    job.start_guard = guard;
    job.run_dir = settings->run.dir;
    job.config = config;
    job.version = fsfm_version();
    job.revision = fsfm_version_revision();
    job.libraries = fsfm_version_libraries();
    job.compare = compare_config;
    job.compare_context = settings;
    job.exit_code = fsfm_exit_code;
    return fsfm_train_run(comm, &job, log, err);
}

/* Reads the configuration on every rank, which all have the same arguments. */
static fsfm_status load(fsfm_comm *comm, int argc, char **argv, fsfm_settings *settings, char **config,
                        fsfm_log *log, fsfm_error *err)
{
    char warning[256] = "";
    fsfm_status st = FSFM_OK;
    if (argc < 1)
        st = fsfm_fail(err, FSFM_ERR_ARG,
                       "pretrain: expected a configuration: fsfm pretrain CONFIG.yaml [key=value ...]");
    if (st == FSFM_OK) st = fsfm_settings_load(argv[0], argc - 1, argv + 1, settings, warning, err);
    if (st == FSFM_OK && !settings->run.dir[0])
        st = fsfm_fail(err, FSFM_ERR_ARG, "run.dir: expected the folder of the run, found nothing");
    if (st == FSFM_OK) st = fsfm_settings_write(settings, config, err);
    int64_t failed = st != FSFM_OK;
    fsfm_comm_sum_i64(comm, &failed, 1);
    if (failed == fsfm_comm_size(comm)) return st; /* alike on all ranks: the message needs no rank */
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    FSFM_TRY(fsfm_alike_text(comm, FSFM_ERR_ARG, "the configuration", *config, err));
    if (warning[0]) fsfm_log_line(log, "warning: %s", warning);
    return FSFM_OK;
}

static int pretrain(int argc, char **argv, fsfm_error *err)
{
    fsfm_comm *comm = NULL;
    fsfm_log log;
    fsfm_settings *settings = NULL;
    char *config = NULL;
    double hang_timeout_s = find_hang_timeout(argc, argv);
    fsfm_start_guard guard;
    fsfm_stop_catch_signals();
    fsfm_start_guard_begin(&guard, hang_timeout_s, fsfm_exit_code(FSFM_ERR_INTERRUPTED));
    fsfm_start_guard_tell(&guard, "MPI_Init, of this rank or of another one", NULL);
    fsfm_status st = fsfm_comm_start(&comm, err);
    if (st != FSFM_OK) {
        fsfm_start_guard_end(&guard);
        return fsfm_exit_code(st);
    }
    fsfm_log_open(&log, fsfm_comm_rank(comm) == 0 ? stdout : NULL);
    if (launcher_writes_to_file()) log.is_terminal = false;
    settings = calloc(1, sizeof *settings);
    if (!settings) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the configuration");
    st = fsfm_comm_agree(comm, st, err);
    fsfm_start_guard_tell(&guard, "reading the program", comm);
    if (st == FSFM_OK) st = fsfm_command_alike(comm, err);
    fsfm_start_guard_tell(&guard, "reading the configuration", comm);
    if (st == FSFM_OK) st = load(comm, argc, argv, settings, &config, &log, err);
    if (st == FSFM_OK) {
        hang_timeout_s = settings->run.hang_timeout_s;
        fsfm_start_guard_limit(&guard, hang_timeout_s);
        fsfm_start_guard_tell(&guard, "the watchdog", comm);
        st = run(comm, settings, config, &guard, &log, err);
    }
    fsfm_start_guard_end(&guard);
    if (hang_timeout_s > 0)
        fsfm_comm_end_within(comm, hang_timeout_s, fsfm_exit_code(st)); /* as the watchdog */
    fsfm_log_close(&log);
    free(config);
    free(settings);
    return fsfm_exit_code(fsfm_command_end(&comm, st, err));
}

const fsfm_command fsfm_command_pretrain = {
    .name = "pretrain",
    .usage = "pretrain CONFIG.yaml [key=value ...]",
    .summary = "pretrains a face ViT; goes on by itself where run.dir holds a checkpoint",
    .help =
        "Runs alone, under mpirun -n N or under srun --mpi=pmix. `fsfm config list` shows every key.\n"
        "CONFIG.yaml: a file, or the name of one in configs/ beside the program (pretrain_vit_b16), here and "
        "in\n"
        "plan, submit and config check.\n"
        "Signals TERM, USR1, USR2, HUP and INT, a file STOP in run.dir and the time limit (FSFM_END_TIME or\n"
        "SLURM_JOB_END_TIME, seconds since 1970) save and stop: exit code 75, and the same command goes on.\n"
        "A second signal gives the step up that is being computed.\n"
        "Ranks that hang for run.hang_timeout_s end with a line that names the one behind; 75 if there is a "
        "checkpoint,\n"
        "and where they hang before the run is known.\n"
        "Exit codes: 0 done, 75 stopped and can go on, 1 failed, 2 wrong usage or configuration.\n",
    .run = pretrain,
};
