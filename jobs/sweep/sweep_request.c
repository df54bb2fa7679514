/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_request.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/settings.h"
#include "jobs/settings/settings_places.h"

typedef struct {
    const fsfm_sweep *sweep;
    const int *run;
    int count;
    fsfm_batch_request *request;
    fsfm_settings *settings, *planned; /* of the run at hand, and of that before it */
    int largest;                       /* the run that needs most; -1: none is known */
    fsfm_error trouble;                /* with the last run that cannot be planned */
} requester;

static fsfm_status load(requester *q, int i, fsfm_error *err)
{
    const fsfm_sweep_run *run = &q->sweep->run[q->run[i]];
    return fsfm_settings_load_text(run->id, run->config, q->settings, err);
}

/* As many as the run with most threads has; all of the node's where one leaves it open. */
static fsfm_status choose_processors(requester *q, int64_t *threads, fsfm_error *err)
{
    fsfm_batch_request *r = q->request;
    int64_t most = 0;
    bool is_open = false, is_said = false;
    for (int i = 0; i < q->count; i++) {
        FSFM_TRY(load(q, i, err));
        const int64_t own = q->settings->run.threads;
        is_open = is_open || own == FSFM_AUTO;
        is_said = is_said || own != FSFM_AUTO;
        if (own != FSFM_AUTO && own > most) most = own;
    }
    if (!r->cpus_per_rank) r->cpus_per_rank = !is_open ? most : r->gpus_per_node ? FSFM_BATCH_GPU_CPUS : 0;
    *threads = is_said ? 0 : r->cpus_per_rank;
    return FSFM_OK;
}

/* Runs that differ in folder and seed alone need the same. */
static bool is_planned(requester *q)
{
    memset(q->settings->run.dir, 0, sizeof q->settings->run.dir);
    q->settings->run.seed = 0;
    const bool is_same = memcmp(q->settings, q->planned, sizeof *q->settings) == 0;
    *q->planned = *q->settings;
    return is_same;
}

static fsfm_status plan_memory(requester *q, fsfm_comm *comm, fsfm_error *err)
{
    fsfm_batch_request *r = q->request;
    fsfm_log silent;
    fsfm_log_open(&silent, NULL);
    fsfm_status st = FSFM_OK;
    for (int i = 0; st == FSFM_OK && i < q->count; i++) {
        fsfm_train_plan plan;
        if ((st = load(q, i, err)) != FSFM_OK || is_planned(q)) continue;
        if (q->settings->run.threads == FSFM_AUTO && r->cpus_per_rank)
            q->settings->run.threads = r->cpus_per_rank;
        const double before_mib = r->memory_mib;
        if (fsfm_batch_plan_memory(r, q->settings, 0, comm, &silent, &plan, &q->trouble) != FSFM_OK ||
            r->memory_mib <= before_mib)
            continue;
        q->largest = q->run[i];
    }
    fsfm_log_close(&silent);
    return st;
}

static fsfm_status fill(requester *q, int64_t *threads, fsfm_log *log, fsfm_error *err)
{
    const fsfm_batch_request *r = q->request;
    fsfm_comm *comm = NULL;
    FSFM_TRY(choose_processors(q, threads, err));
    FSFM_TRY(fsfm_comm_start(&comm, err));
    const fsfm_status st = plan_memory(q, comm, err);
    fsfm_comm_stop(&comm);
    if (st != FSFM_OK) return st;
    fsfm_log_line(log, "tasks     %" PRId64 " node%s x %" PRId64, r->nodes, r->nodes == 1 ? "" : "s",
                  r->ranks_per_node);
    if (q->largest >= 0)
        fsfm_log_line(log, "memory    %.0f MiB a node, for run %s", r->memory_mib,
                      q->sweep->run[q->largest].id);
    else
        fsfm_log_line(log, "memory    the site's, as no run can be planned here: %s", q->trouble.message);
    return FSFM_OK;
}

fsfm_status fsfm_sweep_fill_request(const fsfm_sweep *sweep, const int *run, int count,
                                    fsfm_batch_request *request, int64_t *threads, fsfm_log *log,
                                    fsfm_error *err)
{
    requester q = {.sweep = sweep, .run = run, .count = count, .request = request, .largest = -1};
    q.settings = calloc(1, sizeof *q.settings);
    q.planned = calloc(1, sizeof *q.planned);
    const fsfm_status st = q.settings && q.planned
                               ? fill(&q, threads, log, err)
                               : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the plans of a sweep");
    free(q.planned);
    free(q.settings);
    return st;
}
