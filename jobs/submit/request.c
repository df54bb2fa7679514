/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/submit/request.h"

#include <inttypes.h>
#include <math.h>

#define MIB 1048576.0
#define MEMORY_MARGIN 1.2   /* the plan is within 5 % on this machine; libraries of other machines differ */
#define NODE_MIB 256.0      /* of a node, whatever runs there */
#define THREADS_MIB 256.0   /* of a node whose processors may be more than are planned with */
#define GPU_RANK_MIB 2048.0 /* of a rank with a GPU: what its driver takes of the host's memory (a guess) */

/* Memory of a node. With GPUs most of a rank is in theirs: what stays is read ahead, staged (gradients too,
 * where neither NCCL nor MPI takes the GPU's memory) and saved here. */
static double node_memory_mib(const fsfm_batch_request *r, const fsfm_train_plan *plan)
{
    const uint64_t *first = plan->first.part, *others = plan->others.part;
    double of_first = (double)plan->first.total, of_others = (double)plan->others.total;
    if (r->gpus_per_node) {
        static const fsfm_memory_part host[] = {FSFM_MEMORY_EXCHANGE, FSFM_MEMORY_READER,
                                                FSFM_MEMORY_CHECKPOINT, FSFM_MEMORY_EVALUATION,
                                                FSFM_MEMORY_CODE};
        of_first = of_others = GPU_RANK_MIB * MIB + (double)plan->parameters * sizeof(float);
        for (size_t i = 0; i < sizeof host / sizeof *host; i++) {
            of_first += (double)first[host[i]];
            of_others += (double)others[host[i]];
        }
    }
    const double ranks = (double)(r->ranks_per_node - 1);
    const double node_mib = NODE_MIB + (r->cpus_per_rank ? 0 : THREADS_MIB);
    return ceil(node_mib + MEMORY_MARGIN * (of_first + ranks * of_others) / MIB);
}

fsfm_status fsfm_batch_plan_memory(fsfm_batch_request *r, const fsfm_settings *settings, int64_t samples,
                                   fsfm_comm *comm, fsfm_log *log, fsfm_train_plan *plan, fsfm_error *err)
{
    const int64_t ranks = r->nodes * r->ranks_per_node;
    fsfm_train_options options = settings->train;
    fsfm_train_job job = fsfm_settings_job(settings);
    const fsfm_train_plan_setup how = {.job = &job,
                                       .ranks = (int)ranks,
                                       .node_ranks = (int)r->ranks_per_node,
                                       .samples = samples,
                                       .is_elsewhere = r->gpus_per_node > 0};
    job.train = &options;
    if (r->gpus_per_node && fsfm_batch_chooses_micro_batch(settings) && options.global_batch >= ranks)
        options.micro_batch = options.global_batch / ranks; /* the most that a GPU may choose */
    FSFM_TRY(fsfm_train_plan_make(comm, &how, log, plan, err));
    r->memory_mib = fmax(r->memory_mib, node_memory_mib(r, plan));
    return FSFM_OK;
}

bool fsfm_batch_chooses_micro_batch(const fsfm_settings *settings)
{
    return settings->train.micro_batch == FSFM_AUTO && settings->train.reduction == FSFM_REDUCTION_FAST;
}

void fsfm_batch_put_request(FILE *stream, const fsfm_batch_request *r)
{
    fprintf(stream, "#SBATCH --nodes=%" PRId64 "\n#SBATCH --ntasks-per-node=%" PRId64 "\n", r->nodes,
            r->ranks_per_node);
    if (r->gpus_per_node) fprintf(stream, "#SBATCH --gpus-per-node=%" PRId64 "\n", r->gpus_per_node);
    if (r->cpus_per_rank)
        fprintf(stream, "#SBATCH --cpus-per-task=%" PRId64 "\n", r->cpus_per_rank);
    else
        fputs("#SBATCH --exclusive\n", stream);
    if (r->memory_mib > 0.0) fprintf(stream, "#SBATCH --mem=%.0fM\n", r->memory_mib);
    if (r->time[0]) fprintf(stream, "#SBATCH --time=%s\n", r->time);
}
