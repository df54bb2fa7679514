#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks of the text of the program: format, headers that stand alone, includes by path, cppcheck.
set -u
cd "$(dirname "$0")/../.."
bad=0
complain() {
    echo "static: $*"
    bad=1
}

mapfile -t sources < <(git ls-files '*.c' '*.h')
format=$(command -v clang-format-14 || command -v clang-format)
"$format" --dry-run --Werror "${sources[@]}" 2>&1 | grep -E 'error:' | head -n 10
[ "${PIPESTATUS[0]}" = 0 ] || complain "clang-format would change the files above"

grep -nE '#include "\.\.?/' "${sources[@]}" && complain "includes go by the path from the top"
grep -LE 'SPDX-License-Identifier: Apache-2.0' "${sources[@]}" $(git ls-files '*.sh' '*CMakeLists.txt') |
    grep . && complain "no licence line in the files above"

hdf5=$(pkg-config --cflags hdf5 2>/dev/null || echo -I/usr/include/hdf5/serial)
check_header() {
    gcc -std=c11 -D_GNU_SOURCE -I. $2 -Wall -Wextra -Werror -fsyntax-only -x c "$1" &&
        g++ -std=c++17 -D_GNU_SOURCE -I. $2 -fsyntax-only -x c++ "$1"
}
export -f check_header
git ls-files 'core/*.h' 'io/*.h' 'mpi/*.h' 'jobs/*.h' | xargs -P "$(nproc)" -I{} bash -c "check_header {} '$hdf5'" ||
    complain "a header does not compile alone, as C and as C++"

cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability -I . -j "$(nproc)" \
    --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=invalidPrintfArgType_sint \
    core io mpi jobs || complain "cppcheck"
exit $bad
