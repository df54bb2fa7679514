#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A job that was stopped goes on with half and with twice the ranks: step, losses, lr, ema_momentum and grad_norm in
# metrics.jsonl are the same text as without.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
resubmit() { # RUN OPTION...
    submit "$1"
    until_true 60 has_steps "$1" 10
    scancel "$job"
    until_true 30 is_over "$job"
    submit "$@"
}
columns() { # RUN
    python3 - "$work/$1/metrics.jsonl" <<'P'
import re, sys
keys = "step", "loss", "loss_rec_m", "loss_rec_fr", "loss_sim", "lr", "ema_momentum", "grad_norm"
for line in open(sys.argv[1]):
    if '"kind": "train"' in line:
        print(*(re.search(r'"%s": ([^,}]+)' % k, line).group(1) for k in keys))
P
}
resubmit half --ntasks-per-node=1
half=$job
resubmit twice --ntasks-per-node=4
same_as_whole "$half" half 1
same_as_whole "$job" twice 1
columns whole >whole.txt
[ "$(wc -l <whole.txt)" = "$steps" ] || fail "the undisturbed run has $(wc -l <whole.txt) steps"
for run in half twice; do columns $run | diff whole.txt - >difference || fail "$run: $(head -n 4 difference)"; done
grep -q '"event": "start".*"ranks": 2[,}]' half/metrics.jsonl && grep -q '"event": "start".*"ranks": 8[,}]' twice/metrics.jsonl ||
    fail "not on 2 and 8 ranks: $(grep '"event": "resume"' half/metrics.jsonl twice/metrics.jsonl)"
