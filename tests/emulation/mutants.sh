#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh BUILD [NAME...]: plants each fault of mutants.txt (or those named) in a copy of the emulated plugin, or of the
# test's program, and demands that its test reports it; and that the same tests report nothing of the plugin without faults. BUILD: the file build.sh
# that CMake writes. One object is compiled for each fault.
#
# A line a fault: what reported it. The last line: "N of N mutants reported". Exit code 1: not all, or a text of the table is
# no longer in the sources exactly once, or a harmless one was reported.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_tree=$(cd "$here/../.." && pwd)
build=$1
compile_commands='' compiler_cxx='' libraries='' tests='' # which build.sh sets
# shellcheck source=/dev/null
. "$build"
folder=core/device/cuda
limit_s=100 # one run of a test
ulimit -c 0

# read_table: each block of mutants.txt as a folder NAME of $work, a file for each of its parts.
read_table() {
    local line into=''
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        'mutant '* | 'harmless '*)
            into=$work/${line#* }
            mkdir "$into" || return
            echo "${line%% *}" >"$into/kind"
            ;;
        'mode '*) echo "${line#* }" >>"$into/modes" ;;
        'file '* | 'model '* | 'unit '* | 'test '*) echo "${line#* }" >"$into/${line%% *}" ;;
        ' '* | -* | +*)
            case $line in +*) ;; *) echo "${line:1}" >>"$into/before" ;; esac
            case $line in -*) ;; *) echo "${line:1}" >>"$into/after" ;; esac
            ;;
        '#'* | '') ;;
        *) echo "mutants.txt: what is '$line'?" && return 1 ;;
        esac
    done <"$here/mutants.txt"
}

# The source that has the fault.
source_of() { # NAME
    if [ -e "$work/$1/model" ]; then echo "core/model/$(cat "$work/$1/model")"; else echo "$folder/$(cat "$work/$1/file")"; fi
}

# plant NAME: the file with the fault at its place in the folder NAME/tree.
plant() {
    local mutant=$work/$1 file text before after rest
    file=$(source_of "$1")
    touch "$mutant/after"
    IFS= read -r -d '' text <"$source_tree/$file"
    text=$'\n'$text
    before=$(cat "$mutant/before") after=$(cat "$mutant/after")
    before=$'\n'$before$'\n' after=$'\n'${after:+$after$'\n'}
    rest=${text//"$before"/}
    if [ $((${#text} - ${#rest})) != ${#before} ]; then
        echo "its text is in $file $(((${#text} - ${#rest}) / ${#before})) times, expected once"
        return 1
    fi
    text=${text/"$before"/"$after"}
    mkdir -p "$mutant/tree/$(dirname "$file")"
    printf '%s' "${text:1}" >"$mutant/tree/$file"
}

# compile NAME VARIANT: the plugin VARIANT (emulated, checked) with the fault, NAME/VARIANT.so. Included files are looked for
# in NAME/tree first.
compile() {
    local mutant=$work/$1 variant=$2 unit command object objects plugin_objects=${2}_objects
    unit=$folder/$(cat "$mutant/unit" 2>/dev/null || cat "$mutant/file")
    command=$(grep -F '"command": ' "$compile_commands" | grep -F "fsfm_cuda_$variant.dir/" | grep -F -- "-c $source_tree/$unit\"")
    command=${command#*\"command\": \"} command=${command%\",*}
    [ -n "$command" ] || { echo "no command compiles $unit" && return 1; }
    object=$mutant/$variant.o
    [ -e "$mutant/tree/$unit" ] && unit=$mutant/tree/$unit || unit=$source_tree/$unit
    # shellcheck disable=SC2001 # not a plain text
    command="$(sed 's/ -o [^ ]* -c .*//' <<<"$command") -w -O1 -g0 -iquote '$mutant/tree' -o '$object' -c '$unit'"
    eval "${command//\\\"/\"}" || return
    read -ra objects <<<"${!plugin_objects}"
    unit=$(basename "$unit")
    objects=("${objects[@]/#*\/$folder\/$unit.o/$object}")
    # shellcheck disable=SC2086 # a list
    "$compiler_cxx" -shared -Wl,--exclude-libs,ALL -o "$mutant/$variant.so" "${objects[@]}" $libraries
}

# compile_program NAME: the test's program with the fault, NAME/program. What is linked first stands before the library's.
compile_program() {
    local mutant=$work/$1 source command program link
    source=$(source_of "$1")
    read -r program _ <"$mutant/test"
    command=$(grep -F '"command": ' "$compile_commands" | grep -F -- "-c $source_tree/$source\"")
    command=${command#*\"command\": \"} command=${command%\",*}
    [ -n "$command" ] || { echo "no command compiles $source" && return 1; }
    # shellcheck disable=SC2001 # not a plain text
    command="$(sed 's/ -o [^ ]* -c .*//' <<<"$command") -w -O1 -g0 -o '$mutant/model.o' -c '$mutant/tree/$source'"
    eval "${command//\\\"/\"}" || return
    link=$(cat "$tests/CMakeFiles/$program.dir/link.txt")
    (cd "$tests" && eval "${link/ -o $program / $mutant/model.o -o $mutant/program }")
}

# run_test PLUGIN OUTPUT TEST MODE [PROGRAM]: a test of the table in a mode of the table, PROGRAM: its program with a fault.
# 0: it passed, 1: it did not.
run_test() {
    local plugin=$1 output=$2 program precision only status order seed lazy=''
    read -r program precision only <<<"$3"
    read -r order seed <<<"${4#checker }"
    [ "$order" = lazy ] && lazy=1 order=random
    case $program in emulation.*) program=$tests/emulation/$program ;; *) program=$tests/$program ;; esac
    program=${5:-$program}
    { (cd "$work" && exec env FSFM_TEST_DEVICE=cuda FSFM_CUDA_PLUGIN="$plugin" FSFM_TEST_PRECISION="$precision" \
        FSFM_TEST_ONLY="$only" CMOCKA_TEST_ABORT=1 FSFM_EMULATION_ORDER="$order" FSFM_EMULATION_SEED="${seed:-1}" \
        FSFM_EMULATION_LAZY=$lazy FSFM_EMULATION_PROTECT=$lazy \
        timeout $limit_s "$program") >"$output" 2>&1; } 2>/dev/null # the shell's word on signals
    status=$?
    case $status in
    0 | 134) ;; # passed; cmocka gave up
    124) echo "emulated device: nothing within $limit_s s" >>"$output" ;;
    *) echo "the program ended with status $status" >>"$output" ;;
    esac
    if [ $status = 0 ] && ! grep -q ' 1 test(s) run' "$output"; then
        echo "emulated device: no test $only in $program" >>"$output"
        return 2
    fi
    [ $status = 0 ]
}

variant_of() { # MODE
    case $1 in checker*) echo checked ;; *) echo emulated ;; esac
}

# The line that says what was found.
reason() { # OUTPUT
    local line
    line=$(grep -m1 -oE 'emulated device: .*' "$1") || line=$(grep -m1 -oE '(got .*, want|.* differs from|.*other bits|[a-z_]+: cublasLt|cuda:[0-9] \(.*\): ).*' "$1") ||
        line=$(grep -m1 -E '^\[ +(ERROR|LINE) ' "$1") || line=$(tail -n 1 "$1")
    line=${line#emulated device: } line=${line//"$source_tree/"/}
    # shellcheck disable=SC2001 # not a plain text
    printf '%.110s' "$(sed "s:$work/[^ ]*/tree/::g; s/^\[.*--- //" <<<"$line")"
}

build_mutant() { # NAME VARIANT: unless it is there
    if [ -e "$work/$1/model" ]; then
        [ -e "$work/$1/program" ] || compile_program "$1"
    else
        [ -e "$work/$1/$2.so" ] || compile "$1" "$2"
    fi
}

run_mutant() { # NAME VARIANT MODE
    local mutant=$work/$1 sound=${2}_plugin test
    test=$(cat "$mutant/test")
    if [ -e "$mutant/model" ]; then
        run_test "${!sound}" "$mutant/out" "$test" "$3" "$mutant/program"
    else
        run_test "$mutant/$2.so" "$mutant/out" "$test" "$3"
    fi
}

# judge NAME: prints the mutant's line and leaves its verdict: reported, survived, broken, harmless.
judge() {
    local mutant=$work/$1 mode variant kind verdict='' start=$SECONDS line=''
    kind=$(cat "$mutant/kind")
    if ! plant "$1" >"$mutant/log" 2>&1; then
        verdict=broken line=$(cat "$mutant/log")
    fi
    while read -r mode && [ -z "$verdict" ]; do
        variant=$(variant_of "$mode")
        if ! build_mutant "$1" "$variant" >"$mutant/log" 2>&1; then
            verdict=broken line="it does not build: $(grep -m1 -E 'error|no command' "$mutant/log")"
        elif run_mutant "$1" "$variant" "$mode"; then
            [ "$kind" = harmless ] || verdict=survived line="not reported by $(cat "$mutant/test"), $mode"
        elif [ "$kind" = harmless ]; then
            verdict=survived line="reported, but harmless: $(reason "$mutant/out") ($mode)"
        else
            line="$(reason "$mutant/out") ($mode)"
        fi
    done <"$mutant/modes"
    [ -n "$verdict" ] || { [ "$kind" = harmless ] && verdict=harmless line='reported by nothing'; } || verdict=reported
    echo "$verdict" >"$mutant/verdict"
    printf '%-9s %-45s %3d s  %s\n' "$verdict" "$1" $((SECONDS - start)) "$line"
    [ -n "${KEEP:-}" ] || rm -f "$mutant"/*.so "$mutant"/*.o "$mutant/program"
}

# sound TEST,MODE: whether the plugin without faults passes.
sound() {
    local output plugin
    output=$(mktemp "$work/sound.XXXXXX")
    plugin=$(variant_of "${1#*,}")_plugin
    if ! run_test "${!plugin}" "$output" "${1%%,*}" "${1#*,}"; then
        printf '%-9s %s: %s\n' unsound "$1" "$(reason "$output")"
        touch "$work/unsound"
    fi
}

if [ "${2:-}" = --one ]; then
    work=$3
    "$4" "$5"
    exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
read_table || exit 1
shift
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(grep -E '^(mutant|harmless) ' "$here/mutants.txt" | cut -d ' ' -f 2)
for name in "${names[@]}"; do
    [ -e "$work/$name/before" ] || { echo "no mutant $name" && exit 1; }
    sed "s/^/$(cat "$work/$name/test"),/" "$work/$name/modes"
done | sort -u >"$work/tests"
in_turn() { # FUNCTION < its arguments, one a line: two at a time
    tr '\n' '\0' | xargs -0 -P 2 -I '{}' bash "$0" "$build" --one "$work" "$1" '{}'
}
in_turn sound <"$work/tests"
printf '%s\n' "${names[@]}" | in_turn judge
reported=0 total=0 bad=0
for name in "${names[@]}"; do
    verdict=$(cat "$work/$name/verdict")
    case $verdict in reported) reported=$((reported + 1)) ;; harmless) ;; *) bad=1 ;; esac
    [ "$(cat "$work/$name/kind")" = harmless ] || total=$((total + 1))
done
echo "$(wc -l <"$work/tests") tests of the plugin without faults$([ -e "$work/unsound" ] && echo ', not all passed' || echo ' passed'), $SECONDS s"
echo "$reported of $total mutants reported"
[ $bad = 0 ] && [ ! -e "$work/unsound" ]
