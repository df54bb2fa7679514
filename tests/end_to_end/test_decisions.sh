#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every value of a decision of the method, as a run of three steps: with exact reduction the same text of records and the
# same weights on 1 and on 2 ranks; and each value differs from the default, so that none is ignored.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 24
"$FSFM" synth "$work/more-faces" --count 12 --seed 8 >/dev/null && "$FSFM" pack "$work/more-faces" "$work/more" >/dev/null ||
    fail "a second dataset"
exact=("${small[@]}" train.global_batch=8 train.reduction=exact train.slices=4 train.max_steps=3 run.threads=1
    checkpoint.every_steps=0)
run alone default
number=0
check() { # KEYS: waits for both runs of a value
    local name=$1 keys=$2 job_one=$3 job_two=$4
    wait "$job_one" || fail "$keys on 1 rank: $(tail -1 "$work/$name-1.log")"
    wait "$job_two" || fail "$keys on 2 ranks: $(tail -1 "$work/$name-2.log")"
    [ "$(records "$name-1" train | wc -l)" = 3 ] || fail "$keys: not 3 records"
    same_records "$name-1" "$name-2" train
    same_weights "$name-1" "$name-2" 3
    records "$name-1" train | grep -q '"loss": [0-9]' || fail "$keys: no loss"
    records "$name-1" train | cmp -s - <(records default train) && fail "$keys changes nothing"
    [[ $keys != *eval* ]] || same_records "$name-1" "$name-2" eval
}
while read -r keys <&3; do
    number=$((number + 1))
    IFS=';' read -ra words <<<"$keys"
    start alone "value$number-1" "${words[@]}"
    one=$job
    start 2 "value$number-2" "${words[@]}"
    check "value$number" "$keys" $one $job
done 3<<VALUES
id.loss=byol
id.loss=infonce
id.loss=none
id.rep_decoder=false
target.update=frozen
target.update=frozen;data.augment.view=flip
target.update=shared
target.view=masked
target.view=masked;id.rep_decoder=false;id.loss=infonce
model.rep_pos=sincos
model.rep_pos=sincos;target.view=masked
loss.norm_pix=false
data.augment.view=flip
data.augment.view=crop
mask.region_scope=batch;mask.region_group=3
mask.patch_threshold=60
mask.patch_threshold=60;data.augment.view=crop
mask.strategy=random
mask.strategy=fasking_i
mask.strategy=frp
mask.strategy=crfr_r
mask.ratio=0.4
data.path=;data.sources=[{path: $work/data, weight: 1}, {path: $work/more, weight: 3}]
data.path=;data.sources=[{path: $work/data, weight: 1}, {path: $work/more, weight: 3}];data.augment.view=crop;mask.region_scope=batch
model.init=$work/default/checkpoints/step-00000003.h5
eval.share=0.3;eval.every_epochs=0.4
eval.path=$work/more;eval.every_epochs=0.4;mask.strategy=random
VALUES
echo "$number values: the same on 1 and 2 ranks"
