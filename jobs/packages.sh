# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# packages.sh - sourced by jobs/quickstart.sh and tests/run.sh: the Debian packages that fsfm needs, and their installation.
# "a|b": either will do, the first is installed.
packages_build=(build-essential cmake pkg-config git ca-certificates libopenmpi-dev openmpi-bin libhdf5-dev libyaml-dev
    libdnnl-dev libpng-dev "libjpeg62-turbo-dev|libjpeg-turbo8-dev|libjpeg-dev" zlib1g-dev libxxhash-dev)
packages_test=(libcmocka-dev clang libomp-dev "clang-format-14|clang-format" cppcheck python3)
packages_cluster=(munge slurmctld slurmd slurm-client) # for the tests on a SLURM of their own

package_is_here() { # NAME
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Those of the packages that are not installed, one a line.
packages_missing() { # PACKAGE...
    local package name found
    for package in "$@"; do
        found=
        for name in ${package//|/ }; do
            if package_is_here "$name"; then found=1; fi
        done
        [ -n "$found" ] || echo "${package%%|*}"
    done
}

# Installs what is missing: as root, or with a sudo that asks for nothing or has a terminal to ask on. Otherwise, and with
# FSFM_NO_INSTALL=1, it prints the line that would do it and returns 2. Nothing missing: no package tool but dpkg-query runs.
packages_install() { # PACKAGE...
    local missing root=()
    if ! command -v dpkg-query >/dev/null; then
        echo "no dpkg here; taken to be installed: $*"
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    local line=(apt-get install -y --no-install-recommends "${missing[@]}")
    if [ "$(id -u)" != 0 ]; then root=(sudo); fi
    if [ -n "${FSFM_NO_INSTALL:-}" ] || ! command -v apt-get >/dev/null ||
        { [ "$(id -u)" != 0 ] && ! packages_can_sudo; }; then
        echo "packages are missing; as root:" >&2
        echo "  apt-get update && ${line[*]}" >&2
        return 2
    fi
    echo "installing ${missing[*]}, which takes minutes"
    root+=(env DEBIAN_FRONTEND=noninteractive)
    if ! { "${root[@]}" apt-get -qq update </dev/null && "${root[@]}" "${line[@]}" -qq </dev/null >/dev/null; }; then
        echo "the packages could not be installed; the line was, as root:" >&2
        echo "  apt-get update && ${line[*]}" >&2
        return 2
    fi
}

packages_can_sudo() {
    command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }
}
