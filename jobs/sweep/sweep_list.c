/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/number.h"
#include "jobs/sweep/sweep_metric.h"
#include "jobs/sweep/table.h"

#define SQUEUE_TIMEOUT_S 10.0

static fsfm_status ask_slurm(const fsfm_sweep *sweep, bool needs_slurm, fsfm_slurm_queue *queue,
                             fsfm_error *err)
{
    for (int run = 0; run < sweep->run_count; run++)
        if (!fsfm_run_add_jobs(&sweep->run[run], queue))
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the jobs of %d runs", sweep->run_count);
    if (fsfm_slurm_queue_ask(queue, SQUEUE_TIMEOUT_S) || !needs_slurm) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_IO,
                     "squeue: expected the jobs that wait and run, found no answer in %.0f s",
                     SQUEUE_TIMEOUT_S);
}

fsfm_status fsfm_sweep_look(const fsfm_sweep *sweep, bool needs_slurm, fsfm_run_status **out, fsfm_error *err)
{
    fsfm_run_status *status = calloc((size_t)sweep->run_count, sizeof *status);
    fsfm_slurm_queue *queue = fsfm_slurm_queue_new();
    fsfm_status st = FSFM_OK;
    if (!status || !queue)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the states of %d runs", sweep->run_count);
    if (st == FSFM_OK) st = ask_slurm(sweep, needs_slurm, queue, err);
    for (int run = 0; st == FSFM_OK && run < sweep->run_count; run++)
        status[run] = fsfm_run_look(&sweep->run[run], queue);
    fsfm_slurm_queue_free(&queue);
    if (st != FSFM_OK) {
        free(status);
        status = NULL;
    }
    *out = status;
    return st;
}

const char *fsfm_sweep_summary(const fsfm_sweep *sweep, const fsfm_run_status *status, char out[256])
{
    int count[FSFM_RUN_STATES] = {0}, used = 0;
    const char *separator = ":";
    for (int run = 0; run < sweep->run_count; run++) count[status[run].state]++;
    used = snprintf(out, 256, "%d run%s", sweep->run_count, sweep->run_count == 1 ? "" : "s");
    for (int state = FSFM_RUN_STATES - 1; state >= 0; state--) {
        if (!count[state]) continue;
        used += snprintf(out + used, 256 - (size_t)used, "%s %d %s", separator, count[state],
                         fsfm_run_state_name((fsfm_run_state)state));
        separator = ",";
    }
    return out;
}

void fsfm_sweep_json_values(fsfm_json *json, const fsfm_sweep *sweep, int run)
{
    fsfm_json_object_begin(json, "values");
    for (int i = 0; i < sweep->key_count; i++) {
        const fsfm_option *option = sweep->key[i];
        const char *text = sweep->run[run].value[i];
        int64_t whole;
        double real;
        if ((option->type == FSFM_OPTION_INT || option->type == FSFM_OPTION_INT_OR_AUTO) &&
            fsfm_number_int(text, &whole))
            fsfm_json_int(json, option->name, whole);
        else if (option->type == FSFM_OPTION_REAL && fsfm_number_real(text, &real))
            fsfm_json_real(json, option->name, real);
        else if (option->type == FSFM_OPTION_BOOL)
            fsfm_json_bool(json, option->name, strcmp(text, "true") == 0);
        else
            fsfm_json_text(json, option->name, text);
    }
    fsfm_json_object_end(json);
}

/* What `sweep run` would do. */
static const char *intention(const fsfm_sweep_run *run, fsfm_run_state state)
{
    if (run->refusal) return "nothing, it cannot be";
    switch (state) {
    case FSFM_RUN_DONE: return "nothing, done";
    case FSFM_RUN_RUNNING: return "nothing, somebody is at it";
    case FSFM_RUN_STOPPED:
    case FSFM_RUN_BROKEN_OFF: return "go on";
    case FSFM_RUN_FAILED: return "try again";
    default: return "run";
    }
}

static void print_json(const fsfm_sweep *sweep, const fsfm_run_status *status, bool is_plan)
{
    fsfm_json json = {.stream = stdout};
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "sweep", sweep->file);
    fsfm_json_text(&json, "base", sweep->base);
    fsfm_json_text(&json, "folder", sweep->folder);
    fsfm_json_text(&json, "metric", sweep->metric);
    fsfm_json_list_begin(&json, "runs");
    for (int run = 0; run < sweep->run_count; run++) {
        const bool is_failed = status[run].state == FSFM_RUN_FAILED;
        fsfm_json_object_begin(&json, NULL);
        fsfm_json_text(&json, "id", sweep->run[run].id);
        fsfm_json_text(&json, "folder", sweep->run[run].folder);
        fsfm_sweep_json_values(&json, sweep, run);
        fsfm_json_text(&json, "state", fsfm_run_state_name(status[run].state));
        if (is_plan) fsfm_json_text(&json, "next", intention(&sweep->run[run], status[run].state));
        if (!is_plan) fsfm_json_int(&json, "steps", fsfm_run_steps(sweep->run[run].folder));
        if (is_failed) fsfm_json_int(&json, "exit_code", status[run].exit_code);
        fsfm_json_text(&json, "reason", status[run].reason[0] ? status[run].reason : NULL);
        fsfm_json_object_end(&json);
    }
    fsfm_json_list_end(&json);
    fsfm_json_object_end(&json);
    putchar('\n');
}

static fsfm_status print_table(const fsfm_sweep *sweep, const fsfm_run_status *status, bool is_plan,
                               fsfm_error *err)
{
    fsfm_table table = {.columns = sweep->key_count + (is_plan ? 3 : 4)};
    char text[256];
    fsfm_table_add(&table, "run");
    for (int i = 0; i < sweep->key_count; i++) fsfm_table_add(&table, "%s", sweep->key[i]->name);
    if (!is_plan) fsfm_table_add(&table, "steps");
    fsfm_table_add(&table, "state");
    fsfm_table_add(&table, "%s", is_plan ? "next" : "");
    for (int run = 0; run < sweep->run_count; run++) {
        fsfm_table_add(&table, "%s", sweep->run[run].id);
        for (int i = 0; i < sweep->key_count; i++) fsfm_table_add(&table, "%s", sweep->run[run].value[i]);
        if (!is_plan) fsfm_table_add(&table, "%" PRId64, fsfm_run_steps(sweep->run[run].folder));
        fsfm_table_add(&table, "%s", fsfm_run_state_name(status[run].state));
        const char *refusal = is_plan ? sweep->run[run].refusal : NULL;
        fsfm_table_add(&table, "%s%s%s",
                       is_plan ? intention(&sweep->run[run], status[run].state) : status[run].reason,
                       refusal ? ": " : "", refusal ? refusal : "");
    }
    const fsfm_status st = fsfm_table_print(&table, stdout, err);
    fsfm_table_free(&table);
    printf("%s; in %s\n", fsfm_sweep_summary(sweep, status, text), sweep->folder);
    return st;
}

fsfm_status fsfm_sweep_print(const fsfm_sweep *sweep, bool is_plan, bool as_json, fsfm_error *err)
{
    fsfm_run_status *status = NULL;
    fsfm_status st = fsfm_sweep_look(sweep, false, &status, err);
    if (st == FSFM_OK && as_json)
        print_json(sweep, status, is_plan);
    else if (st == FSFM_OK)
        st = print_table(sweep, status, is_plan, err);
    free(status);
    return st;
}
