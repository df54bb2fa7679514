#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that finds another configuration or dataset than the others, or none, ends the run at its start with one clear line.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 24
rm -rf "$work/faces"
"$FSFM" synth "$work/faces" --count 40 --seed 8 >/dev/null && "$FSFM" pack "$work/faces" "$work/more" >/dev/null ||
    fail "synth, pack"
# Rank 1 of a node whose folder and file are not what rank 0 has under the same names.
cat >"$work/fsfm" <<'W'
#!/usr/bin/env bash
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}
cd "$HOME_OF_TEST/rank$rank" && exec "$FSFM" "$@"
W
chmod +x "$work/fsfm"
export HOME_OF_TEST=$work FSFM
args=("${small[@]:1}" train.global_batch=8 train.max_steps=4 data.path=data run.dir="$work/run")
expect() { # MESSAGE CODE
    timeout 60 "$RANKS" 2 "$work/fsfm" pretrain config.yaml "${args[@]}" >"$work/log" 2>&1
    code=$?
    [[ $code =~ ^$2$ ]] || { tail -3 "$work/log"; fail "exit code $code, not $2: $1"; }
    grep -q "$1" "$work/log" || { tail -3 "$work/log"; fail "no message: $1"; }
}
for rank in 0 1; do
    mkdir -p "$work/rank$rank" && cp "$SOURCE/configs/quickstart.yaml" "$work/rank$rank/config.yaml"
    ln -sfn "$work/data" "$work/rank$rank/data"
done
expect finished 0
rm -rf "$work/run"
ln -sfn "$work/more" "$work/rank1/data"
expect "rank 1: the dataset's checksum: not the same as on rank 0" 2
rm "$work/rank1/data"
expect "rank 1: .*data" 1
ln -sfn "$work/data" "$work/rank1/data"
sed -i 's/^train:/train:\n  max_bad_steps: 7/' "$work/rank1/config.yaml"
expect "rank 1: the configuration: not the same as on rank 0" 2
rm "$work/rank1/config.yaml"
expect "rank 1: .*config.yaml" "[12]"
echo "ranks that differ are told"
