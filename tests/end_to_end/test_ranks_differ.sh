#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that has another program, configuration or dataset than the others, or none, ends the run at its start with one
# clear line that names it and its host.
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
    [ "$(grep -c "$1" "$work/log")" = 1 ] || { tail -3 "$work/log"; fail "not one line: $1"; }
}
host=$(hostname)
for rank in 0 1; do
    mkdir -p "$work/rank$rank" && cp "$SOURCE/configs/quickstart.yaml" "$work/rank$rank/config.yaml"
    ln -sfn "$work/data" "$work/rank$rank/data"
done
expect finished 0
rm -rf "$work/run"
ln -sfn "$work/more" "$work/rank1/data"
expect "the dataset's checksum: not the same on rank 1 ($host) as on rank 0 ($host): [0-9a-f]*, not [0-9a-f]*$" 2
rm "$work/rank1/data"
expect "rank 1: .*data" 1
ln -sfn "$work/data" "$work/rank1/data"
sed -i 's/^train:/train:\n  max_bad_steps: 7/' "$work/rank1/config.yaml"
expect "the configuration: not the same on rank 1 ($host) as on rank 0 ($host): train: max_bad_steps: 7, not train: max_bad_steps: 10$" 2
rm "$work/rank1/config.yaml"
expect "rank 1: .*config.yaml" "[12]"
# Another program: the same one but for a byte behind its end.
cp "$FSFM" "$work/other" && echo >>"$work/other"
sizes=($(stat -Lc %s "$work/other" "$FSFM"))
for command in "pretrain ${small[0]} ${args[*]}" "pack $work/faces $work/again"; do
    mpirun --oversubscribe --bind-to none -n 3 "$FSFM" $command : -n 1 "$work/other" $command >"$work/log" 2>&1
    code=$?
    [ $code = 1 ] || { tail -3 "$work/log"; fail "exit code $code of ranks with different programs"; }
    want="^fsfm: the program: not the same on rank 3 ($host) as on rank 0 ($host): ${sizes[0]} bytes .*, not ${sizes[1]} bytes"
    [ "$(grep -c "$want" "$work/log")" = 1 ] || { tail -3 "$work/log"; fail "not one line: $want"; }
done
echo "ranks that differ are told"
