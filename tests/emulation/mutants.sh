#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh BUILD [NAME...]: plants each fault of mutants.txt (or those named) in a copy of the emulated plugin, or of the
# test's program where the fault is not the plugin's, and demands that its test reports it; and that the same tests report
# nothing without faults. BUILD: the file build.sh
# that CMake writes. One object is compiled for each fault.
#
# A line a fault: what reported it. The last line: "N of N mutants reported". Exit code 1: not all, or a text of the table is
# no longer in the sources exactly once, or a harmless one was reported.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_tree=$(cd "$here/../.." && pwd)
build=$1
compile_commands='' compiler_cxx='' libraries='' tests='' fsfm='' nccl_library='' # which build.sh sets
# shellcheck source=/dev/null
. "$build"
plugin_folder=core/device/cuda
limit_s=100 # one run of a test
ulimit -c 0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1

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
        'file '* | 'unit '* | 'test '*) echo "${line#* }" >"$into/${line%% *}" ;;
        ' '* | -* | +*)
            case $line in +*) ;; *) echo "${line:1}" >>"$into/before" ;; esac
            case $line in -*) ;; *) echo "${line:1}" >>"$into/after" ;; esac
            ;;
        '#'* | '') ;;
        *) echo "mutants.txt: what is '$line'?" && return 1 ;;
        esac
    done <"$here/mutants.txt"
}

# file_of NAME: the path of what is compiled; file_of NAME changed: of what has the fault.
file_of() {
    local file
    file=$(cat "$work/$1/file")
    [ "${2:-}" = changed ] || [ ! -e "$work/$1/unit" ] || file=$(cat "$work/$1/unit")
    case $file in */*) echo "$file" ;; *) echo "$plugin_folder/$file" ;; esac
}

# plant NAME: the file with the fault at its place in the folder NAME/tree.
plant() {
    local mutant=$work/$1 file text before after rest
    file=$(file_of "$1" changed)
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

# compile_unit NAME TARGET OBJECT: the file of a target's with the fault. Included files are looked for in NAME/tree first.
compile_unit() {
    local mutant=$work/$1 unit command
    unit=$(file_of "$1")
    command=$(grep -F '"command": ' "$compile_commands" | grep -F "$2.dir/" | grep -F -- "-c $source_tree/$unit\"")
    command=${command#*\"command\": \"} command=${command%\",*}
    [ -n "$command" ] || { echo "no command compiles $unit" && return 1; }
    [ -e "$mutant/tree/$unit" ] && unit=$mutant/tree/$unit || unit=$source_tree/$unit
    # shellcheck disable=SC2001 # not a plain text
    command="$(sed 's/ -o [^ ]* -c .*//' <<<"$command") -w -O1 -g0 -iquote '$mutant/tree' -o '$3' -c '$unit'"
    eval "${command//\\\"/\"}"
}

# compile NAME VARIANT: with the fault, the plugin VARIANT (emulated, checked) or the test's program (program), NAME/VARIANT.so.
compile() {
    local mutant=$work/$1 variant=$2 object unit link objects plugin_objects=${2}_objects
    object=$mutant/$variant.o
    if [ "$variant" = program ]; then
        compile_unit "$1" "fsfm_$(basename "$(dirname "$(file_of "$1")")")" "$object" || return
        link=$(link_of "$(cut -d ' ' -f 1 "$mutant/test")")
        [ -e "$link" ] || { echo "no command $link: not CMake's Makefiles?" && return 1; }
        # The object stands before the libraries, whose own is then not wanted.
        (cd "${link%/CMakeFiles/*}" && eval "$(sed "s: -o [^ ]* : -o '$mutant/program.so' '$object' :" "$link")")
        return
    fi
    compile_unit "$1" "fsfm_cuda_$variant" "$object" || return
    read -ra objects <<<"${!plugin_objects}"
    unit=$(basename "$(file_of "$1")")
    objects=("${objects[@]/#*\/$plugin_folder\/$unit.o/$object}")
    # shellcheck disable=SC2086 # a list
    "$compiler_cxx" -shared -Wl,--exclude-libs,ALL -o "$mutant/$variant.so" "${objects[@]}" $libraries
}

path_of() { # PROGRAM
    case $1 in golden | script.*) echo "$fsfm" ;; emulation.*) echo "$tests/emulation/$1" ;; *) echo "$tests/$1" ;; esac
}

link_of() { # PROGRAM: the file with the command that links it
    case $1 in
    golden | script.*) echo "$(dirname "$tests")/jobs/CMakeFiles/$(basename "$fsfm").dir/link.txt" ;;
    *) echo "$(dirname "$(path_of "$1")")/CMakeFiles/$1.dir/link.txt" ;;
    esac
}

# run_test PLUGIN PROGRAM OUTPUT TEST MODE...: a test of the table in a mode of the table; PROGRAM is another one for it, or
# empty. 0: it passed, 1: it did not.
run_test() {
    local plugin=$1 other=$2 output=$3 name command precision only ranks status order seed lazy='' protect='' launcher=() limit=$limit_s
    read -r name precision only ranks <<<"$4"
    read -r order seed <<<"${5#checker }"
    [ "$order" = lazy ] && lazy=1 protect=1 order=random
    [ "$order" = late ] && lazy=1 order=random
    [ -z "$ranks" ] || launcher=("$source_tree/tests/support/ranks.sh" "$ranks") limit=30 # who waits for another is found soon
    command=("${other:-$(path_of "$name")}")
    case $name in
    golden) command+=(verify "$source_tree/tests/golden/$only.h5" --device cuda --precision "$precision") ;;
    script.*) command=(env FSFM="${command[0]}" SOURCE="$source_tree" RANKS="$source_tree/tests/support/ranks.sh"
        bash "$source_tree/tests/emulation/test_${name#script.}.sh") ;;
    esac
    { (cd "$work" && exec env FSFM_TEST_DEVICE=cuda FSFM_CUDA_PLUGIN="$plugin" FSFM_TEST_PRECISION="$precision" \
        FSFM_TEST_ONLY="$only" CMOCKA_TEST_ABORT=1 FSFM_EMULATION_ORDER="$order" FSFM_EMULATION_SEED="${seed:-1}" \
        FSFM_EMULATION_LAZY=$lazy FSFM_EMULATION_PROTECT=$protect FSFM_NCCL_LIBRARY="$nccl_library" \
        timeout $limit "${launcher[@]}" "${command[@]}") >"$output" 2>&1; } 2>/dev/null # the shell's word on signals
    status=$?
    case $status in
    0 | 134) ;; # passed; cmocka gave up
    124) echo "emulated device: nothing within $limit s" >>"$output" ;;
    *) echo "the program ended with status $status" >>"$output" ;;
    esac
    if [ $status = 0 ] && [ "$only" != '*' ] && ! grep -qE ' 1 test\(s\) run| on cuda:0 \(emulated\)' "$output"; then
        echo "emulated device: no test $only in $name" >>"$output"
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
    line=$(grep -m1 -oE 'emulated device: .*' "$1") || line=$(grep -m1 -oE '(got .*, want|.* differs from|.*other bits|[a-z_]+: cublasLt|cuda:[0-9] \(.*\): |.*, FAIL |FAIL: ).*' "$1") ||
        line=$(grep -m1 -E '^\[ +(ERROR|LINE) ' "$1") || line=$(tail -n 1 "$1")
    line=${line#emulated device: } line=${line//"$source_tree/"/}
    # shellcheck disable=SC2001 # not a plain text
    printf '%.110s' "$(sed "s:$work/[^ ]*/tree/::g; s/^\[.*--- //" <<<"$line")"
}

# judge NAME: prints the mutant's line and leaves its verdict: reported, survived, broken, harmless.
judge() {
    local mutant=$work/$1 mode variant plugin program kind verdict='' start=$SECONDS line=''
    kind=$(cat "$mutant/kind")
    if ! plant "$1" >"$mutant/log" 2>&1; then
        verdict=broken line=$(cat "$mutant/log")
    fi
    while read -r mode && [ -z "$verdict" ]; do
        variant=$(variant_of "$mode") plugin=$mutant/$variant.so program=''
        case $(file_of "$1") in
        "$plugin_folder"/*) ;;
        *) plugin=${variant}_plugin plugin=${!plugin} variant=program program=$mutant/program.so ;;
        esac
        if [ ! -e "$mutant/$variant.so" ] && ! compile "$1" "$variant" >"$mutant/log" 2>&1; then
            verdict=broken line="it does not build: $(grep -m1 -E 'error|no command' "$mutant/log")"
        elif run_test "$plugin" "$program" "$mutant/out" "$(cat "$mutant/test")" "$mode"; then
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
    [ -n "${KEEP:-}" ] || rm -f "$mutant"/*.so "$mutant"/*.o
}

# sound TEST,MODE: whether the plugin without faults passes.
sound() {
    local output plugin
    output=$(mktemp "$work/sound.XXXXXX")
    plugin=$(variant_of "${1#*,}")_plugin
    if ! run_test "${!plugin}" '' "$output" "${1%%,*}" "${1#*,}"; then
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
