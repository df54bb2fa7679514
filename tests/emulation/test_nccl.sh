#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs whose gradients travel by NCCL (a stand-in, between emulated GPUs): the losses of other ways, on 1, 2 and 4 ranks; the
# order in which a way is chosen; and what a failure on one rank looks like on all of them.
. "$SOURCE/tests/support/runs.sh"
[ -e "${FSFM_NCCL_LIBRARY:-/none}" ] || { echo 'no nccl.h here: there is no stand-in for NCCL' && exit 77; }
precision=${FSFM_TEST_PRECISION:-fp32}
make_small_data 16
exact=("${small[@]}" train.precision="$precision" train.global_batch=8 train.max_steps=2 run.device=cuda) # what start() runs
way() { # RUN
    sed -n 's/^batch .* reduction: //p' "$work/$1.log"
}
travels() { # RUN WAY
    # shellcheck disable=SC2053 # a pattern
    [[ $(way "$1") == $2 ]] || fail "$1: gradients travel by '$(way "$1")', expected '$2'"
}

run alone single comm.backend=nccl
run 2 nccl2 comm.backend=nccl
run 4 nccl4 comm.backend=nccl
FSFM_EMULATION_LAZY=1 FSFM_EMULATION_SEED=3 run 2 late2 comm.backend=nccl
run 2 host2 comm.backend=host
FSFM_MPI_CUDA=1 run 2 mpi2 comm.backend=mpi
travels nccl2 NCCL
travels nccl4 NCCL
travels host2 'MPI by way of pinned host memory'
travels mpi2 "MPI on the GPU's memory"
# Two numbers have one sum in either order.
same_records host2 nccl2 train
same_records host2 late2 train
same_records host2 mpi2 train
close_losses "$precision" 2 single nccl2 nccl4

# Chosen is the first that every rank has, and the log says why not NCCL.
run 2 auto
travels auto NCCL
FSFM_MPI_CUDA=1 FSFM_EMULATION_NCCL_FAIL='id' run 2 auto_mpi
travels auto_mpi "MPI on the GPU's memory; rank 0: NCCL: ncclGetUniqueId: unhandled system error*"
FSFM_EMULATION_NCCL_FAIL='enter 1' run 2 auto_host
travels auto_host 'MPI by way of pinned host memory; rank 1: NCCL: ncclCommInitRankConfig: unhandled system error*'
FSFM_NCCL_LIBRARY=/none/libnccl.so.2 run 2 auto_none
travels auto_none 'MPI by way of pinned host memory; rank 0: NCCL: /none/libnccl.so.2: *'

# fails FAILURE LINE [more...]: a run on two ranks ends soon, with code 1 on both, and says why in one line.
fails() {
    local code=0 lines
    rm -rf "$work/broken" "$work"/code.*
    # shellcheck disable=SC2016 # the ranks' own words
    timeout 60 "$RANKS" 2 bash -c '"$@"; code=$?; echo $code >"$0.$OMPI_COMM_WORLD_RANK"; exit $code' "$work/code" \
        "$FSFM" pretrain "${exact[@]}" run.dir="$work/broken" comm.backend=nccl "${@:3}" \
        >"$work/broken.log" 2>"$work/broken.err" ||
        code=$?
    [ $code = 1 ] || fail "$1: exit code $code, expected 1"
    [ "$(cat "$work"/code.*)" = $'1\n1' ] || fail "$1: ranks ended with $(cat "$work"/code.*)"
    lines=$(grep -E '^fsfm: |NCCL: ' "$work/broken.err")
    # shellcheck disable=SC2053 # a pattern
    [[ $lines == "fsfm: "$2 && $lines != *$'\n'* ]] || fail "$1: told was '$lines'"
}
[ "$precision" = fp32 ] || exit 0 # the rest knows of no precision
for failure in 'enter 0' 'enter 1' 'sum 0 0' 'sum 1 1' 'network 1 0' 'network 0 1'; do
    case $failure in
    enter*) line="comm.backend=nccl: rank ${failure#* }: NCCL: ncclCommInitRankConfig: unhandled system error*" ;;
    sum*) line="rank ${failure:4:1}: NCCL: ncclAllReduce: unhandled system error*" ;;
    *) line="rank ${failure:8:1}: NCCL: its group of GPUs: remote process exited or there was a network error*" ;;
    esac
    FSFM_EMULATION_NCCL_FAIL=$failure fails "$failure" "$line"
done
FSFM_EMULATION_LAZY=1 FSFM_EMULATION_NCCL_FAIL='network 1 1' fails 'network 1 1' 'rank 1: NCCL: its group*'

# Exact sums have the same bits by all ways, on any number of ranks.
for ranks in alone 2 4; do run $ranks exact_$ranks comm.backend=nccl train.reduction=exact; done
FSFM_EMULATION_LAZY=1 FSFM_EMULATION_SEED=4 run 4 exact_late comm.backend=nccl train.reduction=exact
run 4 exact_host comm.backend=host train.reduction=exact
FSFM_MPI_CUDA=1 run 4 exact_mpi comm.backend=mpi train.reduction=exact
FSFM_EMULATION_NCCL_FAIL='id' run 2 exact_auto train.reduction=exact
travels exact_2 'NCCL, one tree over the slices'
travels exact_4 'NCCL, one tree over the slices'
travels exact_host 'MPI by way of pinned host memory, one tree over the slices'
travels exact_mpi "MPI on the GPU's memory, one tree over the slices"
travels exact_auto 'MPI by way of pinned host memory, one tree over the slices; rank 0: NCCL: *; rank 0: this MPI *'
for other in 2 4 late host mpi auto; do same_records exact_alone exact_$other train; done
for other in 2 4 late host; do same_weights exact_alone exact_$other 2 64; done

for failure in 'sum 0 0' 'sum 1 1' 'network 1 0' 'network 0 3'; do
    case $failure in
    sum*) line="rank ${failure:4:1}: NCCL: ncclGroupEnd: unhandled system error*" ;;
    *) line="rank ${failure:8:1}: NCCL: its group of GPUs: remote process exited or there was a network error*" ;;
    esac
    FSFM_EMULATION_NCCL_FAIL=$failure fails "$failure" "$line" train.reduction=exact
done
