#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program's frame and `fsfm config`: exit codes, what goes to which stream, and the files in configs/.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-config.XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0

# expect CODE STREAM REGEX COMMAND...: exit code, and a line on that stream (out or err)
expect() {
    local code=$1 stream=$2 regex=$3 got
    shift 3
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    if [ "$got" != "$code" ] || ! grep -Eq -- "$regex" "$work/$stream"; then
        echo "expected exit $code and /$regex/ on std$stream, got exit $got: $*"
        head -3 "$work/out" "$work/err"
        failures=$((failures + 1))
    fi
}
# quiet STREAM: the last command wrote nothing there
quiet() {
    [ ! -s "$work/$1" ] || { echo "std$1 is not empty:" && head -3 "$work/$1" && failures=$((failures + 1)); }
}

cd "$SOURCE" || exit 1
expect 2 err '^usage: fsfm COMMAND' "$FSFM"
quiet out
expect 2 err '^fsfm: confg: unknown command; nearest known command: config$' "$FSFM" confg
expect 0 out '^usage: fsfm COMMAND' "$FSFM" --help
quiet err
expect 0 out '^fsfm [0-9]+\.[0-9]+\.[0-9]+' "$FSFM" --version
expect 0 out 'HDF5 [0-9]' "$FSFM" --version
for command in config synth pack inspect mask plan pretrain verify bench; do
    expect 0 out "^usage: fsfm $command" "$FSFM" "$command" --help
    quiet err
done
expect 2 err '^fsfm: config: expected list, schema or check, found nothing$' "$FSFM" config
expect 2 err "^fsfm: config: expected list, schema or check, found 'chekc'; nearest: check$" "$FSFM" config chekc
expect 2 err '^fsfm: config check: expected a FILE' "$FSFM" config check
expect 2 err '^fsfm: argument 2: --jsno: unknown option' "$FSFM" config list --jsno
[ ! -w /dev/full ] || expect 1 err '^fsfm: standard output: ' bash -c '"$FSFM" config list >/dev/full'

"$FSFM" config list | diff - configs/README.md || { echo "configs/README.md: make it new with fsfm config list"; failures=$((failures + 1)); }
expect 0 out '"additionalProperties": false' "$FSFM" config schema
if command -v python3 >/dev/null; then python3 -m json.tool "$work/out" >/dev/null || failures=$((failures + 1)); fi

for file in configs/*.yaml; do
    expect 0 out "^$file: ok$" "$FSFM" config check "$file"
    quiet err
done
q=configs/quickstart.yaml
expect 0 err 'warning: optim.warmup_epochs' "$FSFM" config check $q train.epochs=0.5 train.global_batch=7
expect 2 err '^fsfm: argument 2: mask.ratoi: unknown key; nearest known key: mask.ratio$' "$FSFM" config check $q run.seed=1 mask.ratoi=1
expect 2 err "^fsfm: $work/nowhere.yaml: " "$FSFM" config check "$work/nowhere.yaml"
printf 'run:\n  dri: x\n' >"$work/typo.yaml"
expect 2 err "^fsfm: $work/typo.yaml:2:3: run.dri: unknown key; nearest known key: run.dir$" "$FSFM" config check "$work/typo.yaml"
# one line an error
[ "$(wc -l <"$work/err")" = 1 ] || failures=$((failures + 1))

"$FSFM" config check $q --print mask.ratio=0.6 >"$work/whole.yaml"
expect 0 out '^  ratio: 0.6$' "$FSFM" config check "$work/whole.yaml" --print
diff "$work/whole.yaml" "$work/out" || failures=$((failures + 1))
if grep -nE 'micro_batch' $q; then failures=$((failures + 1)); fi

[ $failures = 0 ] || { echo "$failures failures"; exit 1; }
