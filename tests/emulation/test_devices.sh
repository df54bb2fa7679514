#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks on machines with several GPUs: each computes on the one of its number on the machine, among those that it sees, and
# only there; ranks that share a GPU, and they alone, share its memory; the records are those of one GPU.
. "$SOURCE/tests/support/runs.sh"
precision=${FSFM_TEST_PRECISION:-fp32}
make_small_data 16
exact=("${small[@]}" train.precision="$precision" train.global_batch=8 train.max_steps=1 run.device=cuda) # what start() runs
unset CUDA_VISIBLE_DEVICES
# Each rank leaves the numbers of the GPUs that it has streams on; with BIND it sees but one, as SLURM may have it.
export LAUNCHER=$RANKS work
RANKS=$work/ranks.sh
cat >"$RANKS" <<'END'
#!/usr/bin/env bash
n=$1
shift
exec "$LAUNCHER" "$n" bash -c 'export FSFM_EMULATION_USED=$work/used.$OMPI_COMM_WORLD_LOCAL_RANK
    [ -z "${BIND:-}" ] || export CUDA_VISIBLE_DEVICES=$((OMPI_COMM_WORLD_LOCAL_RANK % 2))
    exec "$@"' rank "$@"
END
chmod +x "$RANKS"
# on RUN RANKS NAMES GPUS more...: a run whose ranks call their GPUs so and use these.
on() {
    local run=$1 ranks=$2 names=$3 gpus=$4 used='' r
    shift 4
    rm -f "$work"/used.*
    run "$ranks" "$run" "$@"
    for ((r = 0; r < ranks; r++)); do used+="${used:+ }$(sort -u "$work/used.$r" | xargs)"; done
    [ "$used" = "$gpus" ] || fail "$run: ranks used the GPUs $used, expected $gpus"
    used=$(grep -o '"device": "cuda:[0-9]*' "$work/$run/environment.json" | sed 's/.*"//' | tail -n "$ranks" | xargs)
    [ "$used" = "$names" ] || fail "$run: ranks are on $used, expected $names"
}

on together 2 'cuda:0 cuda:0' '0 0'
export FSFM_EMULATION_DEVICES=2
on own 2 'cuda:0 cuda:1' '0 1'
same_records together own train
[ "$precision" = fp32 ] || exit 0 # the rest knows of no precision
CUDA_VISIBLE_DEVICES=1,0 on swapped 2 'cuda:0 cuda:1' '1 0'
on four 4 'cuda:0 cuda:1 cuda:0 cuda:1' '0 1 0 1'

# On GPUs that are said to be so small that two ranks' images do not fit on one at once.
export FSFM_EMULATION_MIB=8
part() { # RUN: images of a micro-batch
    sed -n 's/^batch .* ranks x [0-9]* x \([0-9]*\),.*/\1/p' "$work/$1.log"
}
on apart 2 'cuda:0 cuda:1' '0 1'
BIND=1 on bound 2 'cuda:0 cuda:0' '0 1'
CUDA_VISIBLE_DEVICES=1 on shared 2 'cuda:0 cuda:0' '1 1'
[ "$(part apart) $(part bound)" = '4 4' ] || fail "ranks with a GPU each compute $(part apart) and $(part bound) images at once"
[ "$(part shared)" -lt 4 ] || fail "ranks that share a GPU compute $(part shared) images at once"
