#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [--full] [--no-install]: builds fsfm with gcc, with sanitizers and with clang, and runs every check and test.
#
#   --full         the golden files and all instruction sets with the sanitizers too
#   --no-install   missing packages are named, not installed (exit 2)
#
# Builds lie in build/, build-asan/ and build-clang/; a second run rebuilds nothing. Exit code: 0 all passed, 1 something
# failed, 2 packages are missing. All parts run, whatever fails before; the last lines are those of the main test run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. jobs/packages.sh

full=''
for argument in "$@"; do
    case $argument in
    --full) full=1 ;;
    --no-install) export FSFM_NO_INSTALL=1 ;;
    *)
        echo "usage: tests/run.sh [--full] [--no-install]" >&2
        exit 2
        ;;
    esac
done
cores=$(nproc)
failures=()
logs=build/test-logs

# part NAME COMMAND...: runs it with its output in a file, and says how it went and how long it took.
part() {
    local name=$1 start=$SECONDS log
    log=$logs/$(tr -cs 'a-z\n' - <<<"$1").log
    shift
    if "$@" >"$log" 2>&1; then
        printf '%-28s ok    %4d s\n' "$name" $((SECONDS - start))
    else
        printf '%-28s FAIL  %4d s  (%s)\n' "$name" $((SECONDS - start)) "$log"
        { grep -E 'error:|ERROR: |\*\*\*Failed|runtime error:' "$log" | head -n 15; tail -n 15 "$log"; } | sed 's/^/    /'
        failures+=("$name")
        return 1
    fi
}

build() { # FOLDER OPTION...
    local folder=$1
    shift
    cmake -S . -B "$folder" "$@" && cmake --build "$folder" -j "$cores"
}

# LEAKS is 1 where they are looked for: not with Open MPI, which unloads its parts before they can be told apart. Tests that
# ask for more memory than there is want an answer, not an end.
sanitized_tests() { # LEAKS CTEST-OPTION...
    local leaks=$1
    shift
    ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=$leaks \
        LSAN_OPTIONS=suppressions=$PWD/tests/support/leaks.txt:print_suppressions=0 \
        UBSAN_OPTIONS=print_stacktrace=1 \
        ctest --test-dir build-asan -j "$cores" --output-on-failure "$@"
}

if [ "$(id -u)" = 0 ]; then packages_test+=("${packages_cluster[@]}"); fi # others cannot bring a cluster up
packages_install "${packages_build[@]}" "${packages_test[@]}" || exit 2
mkdir -p $logs
part "build gcc" build build -DCMAKE_BUILD_TYPE=Release -DFSFM_TESTS=ON || exit 1
sanitized=''
part "build gcc sanitizers" build build-asan -DCMAKE_BUILD_TYPE=Debug -DFSFM_SANITIZE=ON -DFSFM_TESTS=ON && sanitized=1
part "build clang" build build-clang -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang -DFSFM_TESTS=ON
for check in format cppcheck includes headers scripts; do
    part "check $check" bash tests/support/static.sh $check
done
if [ -z "$sanitized" ]; then
    echo "no tests with sanitizers, as they are not built"
else
    # The other instruction sets of a test differ in generated code alone; large ones take long on an emulated GPU.
    others=(-E 'AVX2|SSE41|^((device.(linear|profile|rows)|gradient.(savings|step)|emulation.*)\.cuda|emulation.attention_shapes)')
    [ -z "$full" ] || others=()
    part "sanitizers, libraries" sanitized_tests 1 -L '^(unit|io|device|gradient|fuzz)$' "${others[@]}"
    # These ask how soon something happens, of steps that take seconds: with sanitizers they take minutes.
    timed='^fault\.(second_signal|slow_rank|start_hangs|watchdog)$'
    part "sanitizers, program" sanitized_tests 0 -L '^(mpi|fault|end_to_end)$' -E "$timed"
    [ -z "$full" ] || part "sanitizers, golden files" sanitized_tests 0 -L '^golden$'
fi
start=$SECONDS
ctest --test-dir build -j "$cores" --output-on-failure >$logs/tests.log 2>&1 || failures+=("tests")
if grep -q 'tests failed out of' $logs/tests.log; then
    printf '%-28s %s %4d s\n\n' "tests" "$([[ " ${failures[*]} " == *" tests "* ]] && echo 'FAIL ' || echo 'ok   ')" $((SECONDS - start))
else
    failures+=("tests")
fi
if [ ${#failures[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failures[@]}"
    grep -vE '^ *(Start +[0-9]|[0-9]+/[0-9]+ Test .*Passed)' $logs/tests.log | head -n 200
fi
sed -n '/tests failed out of/,$p' $logs/tests.log
[ ${#failures[@]} = 0 ]
