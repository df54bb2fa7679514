#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# plan_accuracy.sh FSFM PRECISION[:RANKS] PRESET:BATCH PRESET:BATCH...: how far `fsfm plan` is from measured steps on this
# machine. The first one calibrates (bench step --write-machine), it and the others are predicted and measured; the ranks
# share the machine's processors. Exit 1 if one is off by more than 15 %. For an idle machine: no test of the suite, as its
# result depends on what else runs.
set -uo pipefail
fsfm=$(realpath "$1") precision=${2%:*} ranks=1 first=$3
[[ $2 != *:* ]] || ranks=${2#*:}
threads=$(($(nproc) / ranks))
[ "$threads" -ge 1 ] || threads=1
shift 2
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
bench() { # PRESET:BATCH OPTION...
    local launcher=()
    [ "$ranks" = 1 ] || launcher=("$source/tests/support/ranks.sh" "$ranks")
    "${launcher[@]}" "$fsfm" bench step --preset "${1%:*}" --batch "${1#*:}" --precision "$precision" --threads "$threads" --json "${@:2}"
}
bench "$first" --write-machine "$work/local.yaml" >"$work/first" || exit 2
failed=0
for case in "$@"; do
    preset=${case%:*} batch=${case#*:}
    if [ "$case" = "$first" ]; then cp "$work/first" "$work/seen"; else bench "$case" >"$work/seen" || exit 2; fi
    micro=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["micro_batch"])' "$work/seen")
    "$fsfm" plan "$source/configs/pretrain_$preset.yaml" --machine "$work/local.yaml" --samples 3311286 --ranks "$ranks" --json \
        run.threads="$threads" train.global_batch="$batch" train.micro_batch="$micro" train.precision="$precision" >"$work/plan" || exit 2
    python3 - "$case" "$work/seen" "$work/plan" <<'P' || failed=1
import json, sys
seen, plan = (json.load(open(p)) for p in sys.argv[2:])
s, p = seen["step_ms_median"], plan["time"]["step_ms"]
print(f"{sys.argv[1]:12s} measured {s:9.1f} ms ({seen['step_ms_best']:.1f} at best), predicted {p:9.1f} ms: {100 * (p / s - 1):+.1f} %")
sys.exit(abs(p / s - 1) > 0.15)
P
done
grep sum_gb_s "$work/local.yaml"
exit $failed
