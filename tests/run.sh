#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/run.sh [--full] [--no-install]: installs what tests need, builds, and runs every test.
#
# Three builds: gcc Release (build/, all tests), gcc Debug with the address and undefined-behaviour sanitizers
# (build-asan/), clang (build-clang/, compiled and the unit tests run). --full adds the long tests. What is built already is not built again.
set -euo pipefail
cd "$(dirname "$0")/.."
. jobs/packages.sh

full=0
install=1
for argument in "$@"; do
    case $argument in
    --full) full=1 ;;
    --no-install) install=0 ;;
    *)
        echo "usage: bash tests/run.sh [--full] [--no-install]" >&2
        exit 2
        ;;
    esac
done
export FSFM_TESTS_FULL=$full
jobs=$(nproc)
failures=()
timings=()

# part NAME COMMAND...: runs it, keeps its time, and remembers a failure instead of stopping
part() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@" || failures+=("$name")
    timings+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}
build() { # build FOLDER CMAKE-ARGUMENTS...
    local folder=$1
    shift
    cmake -S . -B "$folder" "$@" >"$folder.log" 2>&1 && cmake --build "$folder" -j "$jobs" >>"$folder.log" 2>&1 || {
        grep -E 'error|warning|Error' "$folder.log" | head -n 20
        return 1
    }
    rm -f "$folder.log"
}
sanitized_tests() {
    # leaks inside Open MPI and oneDNN are not ours
    LSAN_OPTIONS=suppressions=$PWD/tests/support/leaks.txt \
        ctest --test-dir build-asan -j "$jobs" --output-on-failure -L '^(unit|io|device|gradient|fuzz|end_to_end)$'
}
main_tests() {
    ctest --test-dir build -j 1 --output-on-failure 2>&1 | tee build/tests.log
}
static_checks() { bash tests/support/static_checks.sh; }

[ $install = 0 ] || fsfm_install "${fsfm_packages[@]}" "${fsfm_test_packages[@]}"
part "build: gcc, Release" build build -DCMAKE_BUILD_TYPE=Release
part "build: gcc, Debug, sanitizers" build build-asan -DCMAKE_BUILD_TYPE=Debug -DFSFM_SANITIZE=ON
part "build: clang" build build-clang -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang
part "static checks" static_checks
part "tests: clang" ctest --test-dir build-clang -j "$jobs" --output-on-failure -L '^unit$'
part "tests: sanitizers" sanitized_tests
part "tests" main_tests

printf '\n== time\n'
printf '%s\n' "${timings[@]}"
[ ${#failures[@]} = 0 ] || printf 'failed: %s\n' "${failures[@]}"
printf '\n'
sed -n '/tests passed/,$p' build/tests.log # how the main suite closed
[ ${#failures[@]} = 0 ]
