/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/train_options.h"

#define MEMBER(name) offsetof(fsfm_train_options, name)

enum { STEPS_MAX = 1000000000 };

static const char *const precision_names[] = {"fp32", "bf16", NULL}; /* as fsfm_precision */
const char *const fsfm_recompute_names[] = {"none", "gelu", "block", "auto", NULL};
static const char *const reduction_names[] = {"fast", "exact", NULL};

const fsfm_option fsfm_train_options_table[] = {
    {"train.global_batch", FSFM_OPTION_INT, MEMBER(global_batch), "256", 1, 1 << 24, NULL, "images",
     "images of one optimiser step, over all ranks and accumulation", false},
    {"train.micro_batch", FSFM_OPTION_INT_OR_AUTO, MEMBER(micro_batch), "auto", 1, 1 << 20, NULL, "images",
     "images that a rank computes at once; auto: the slice (exact), or what is fast and fits in memory",
     true},
    {"train.epochs", FSFM_OPTION_REAL, MEMBER(epochs), "400", 0.001, 1e6, NULL, "epochs",
     "length of the run and of its schedules", false},
    {"train.max_steps", FSFM_OPTION_INT, MEMBER(max_steps), "0", 0, STEPS_MAX, NULL, "steps",
     "end here although the schedule goes on; 0: at the end of the schedule", true},
    {"train.precision", FSFM_OPTION_CHOICE, MEMBER(precision), "fp32", 0, 0, precision_names, "",
     "format of activations and matrix products; weights, losses and norms stay fp32", false},
    {"train.recompute", FSFM_OPTION_CHOICE, MEMBER(recompute), "auto", 0, 0, fsfm_recompute_names, "",
     "what backward computes again to save memory: nothing, GELU and norms, or whole blocks; the same bits, "
     "but in bf16 those of gelu differ by rounding; auto: gelu, but on a GPU none where it fits, unless "
     "train.reduction is exact",
     false},
    {"train.cuda_graph", FSFM_OPTION_CHOICE, MEMBER(records), "auto", 0, 0, fsfm_records_names, "",
     "on a GPU: replay a micro-batch's kernels as a CUDA graph; auto: unless that fails; the same bits",
     true},
    {"train.target_cache_mib", FSFM_OPTION_INT, MEMBER(target_cache_mib), "1024", 0, 1 << 24, NULL, "MiB",
     "memory of a rank in which target features may be kept, where they never change; 0: none; the same bits",
     true},
    {"train.reduction", FSFM_OPTION_CHOICE, MEMBER(reduction), "fast", 0, 0, reduction_names, "",
     "sum gradients fast, or exact: the same bits on any number of ranks and threads", false},
    {"train.slices", FSFM_OPTION_INT, MEMBER(slices), "8", 1, 1024, NULL, "",
     "equal parts of the global batch for train.reduction: exact; a power of two", false},
    {"train.max_bad_steps", FSFM_OPTION_INT, MEMBER(max_bad_steps), "10", 1, STEPS_MAX, NULL, "steps",
     "steps in a row with a loss that is not finite before the run ends", false},

    {"comm.backend", FSFM_OPTION_CHOICE, MEMBER(carrier), "auto", 0, 0, fsfm_carrier_names, "",
     "how gradients travel between GPUs: NCCL, MPI on their memory, or by way of the host's; auto: the first "
     "to be had. On processors: memory that the ranks of one host share, else (and with mpi and host) MPI",
     true},
    {"comm.bucket_mib", FSFM_OPTION_INT, MEMBER(bucket_mib), "32", 1, 4096, NULL, "MiB",
     "size of the pieces in which gradients travel between ranks", false},

    {"checkpoint.every_steps", FSFM_OPTION_INT, MEMBER(checkpoint_every_steps), "500", 0, STEPS_MAX, NULL,
     "steps", "steps between checkpoints; 0: at the end only", true},
    {"checkpoint.keep_last", FSFM_OPTION_INT, MEMBER(checkpoint_keep_last), "3", 2, 1000000, NULL, "files",
     "newest checkpoints that are kept", true},
    {"checkpoint.keep_every", FSFM_OPTION_INT, MEMBER(checkpoint_keep_every), "0", 0, STEPS_MAX, NULL,
     "steps", "checkpoints at multiples of this step are kept for ever; 0: none", true},

    {"eval.path", FSFM_OPTION_TEXT, MEMBER(eval_path), "", 0, 0, NULL, "", "packed dataset to evaluate on",
     false},
    {"eval.share", FSFM_OPTION_REAL, MEMBER(eval_share), "0", 0, 0.5, NULL, "",
     "instead of eval.path: share of the training set that is set aside for evaluation", false},
    {"eval.every_epochs", FSFM_OPTION_REAL, MEMBER(eval_every_epochs), "1", 0, 1e6, NULL, "epochs",
     "epochs between evaluations; 0: never", false},

    {"log.every_steps", FSFM_OPTION_INT, MEMBER(log_every_steps), "10", 1, STEPS_MAX, NULL, "steps",
     "steps between records in metrics.jsonl", true},
    {"log.pictures_every_epochs", FSFM_OPTION_REAL, MEMBER(log_pictures_every_epochs), "10", 0, 1e6, NULL,
     "epochs", "epochs between pictures of reconstructions; 0: at the end only", true},
    {"log.pictures", FSFM_OPTION_INT, MEMBER(log_pictures), "8", 0, 64, NULL, "images",
     "images in such a picture; 0: no pictures", true},
};
const int fsfm_train_options_count = sizeof fsfm_train_options_table / sizeof *fsfm_train_options_table;
