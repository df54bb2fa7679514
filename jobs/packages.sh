# SPDX-License-Identifier: Apache-2.0
# jobs/packages.sh - sourced: which Debian packages are needed, and how they are installed.

# To build and run.
fsfm_packages=(gcc g++ make cmake pkg-config git ca-certificates libopenmpi-dev openmpi-bin libhdf5-dev libyaml-dev
    libdnnl-dev libpng-dev libjpeg62-turbo-dev zlib1g-dev libxxhash-dev)
# For the tests besides.
fsfm_test_packages=(libcmocka-dev clang clang-format-14 cppcheck python3)

# fsfm_install PACKAGE...: installs those that are missing; says which line to type and stops with 2 where it may not.
fsfm_install() {
    local missing=() package root=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            root=(sudo)
        else
            echo "Packages are missing. As root, run:" >&2
            echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
            exit 2
        fi
    fi
    echo "installing ${missing[*]}"
    "${root[@]}" apt-get update -qq &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
            >/dev/null || {
        echo "apt-get cannot install: ${missing[*]}" >&2
        exit 1
    }
}
