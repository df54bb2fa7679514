#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The modulefile of jobs/install, by tclsh with stand-ins for the words of Environment Modules and Lmod: it finds its prefix
# from where it lies, by links too, and a prefix that is written into it counts.
. "$SOURCE/tests/support/runs.sh" || exit 1
command -v tclsh >/dev/null || { echo "no tclsh: skipped" && exit 77; }
folder=$work/opt/fsfm/1.2/share/fsfm/modulefiles/fsfm
mkdir -p "$folder" "$work/site/fsfm"
cp "$SOURCE/jobs/install/modulefile" "$folder/1.2"
ln -s "$folder/1.2" "$work/site/fsfm/1.2"
cat >"$work/modules.tcl" <<'T'
foreach word {module-whatis conflict module prepend-path setenv} { proc $word args "puts \"$word \$args\"" }
proc module-info {what} { return "fsfm/[file tail $::ModulesCurrentModulefile]" }
set ModulesCurrentModulefile [lindex $argv 0]
source $ModulesCurrentModulefile
ModulesHelp
T
read_module() { tclsh "$work/modules.tcl" "$1" >"$work/words" 2>"$work/help" || fail "$1: $(tail -n 3 "$work/help")"; }
expect() {
    for line in "$@"; do grep -qxF -- "$line" "$work/words" || fail "no '$line': $(cat "$work/words")"; done
}
head -n 1 "$folder/1.2" | grep -q '^#%Module' || fail "the file does not begin as a modulefile"
prefix=$(realpath "$work/opt/fsfm/1.2")
for path in "$folder/1.2" "$work/site/fsfm/1.2"; do
    read_module "$path"
    expect "prepend-path PATH $prefix/bin" "setenv FSFM $prefix/bin/fsfm" "setenv FSFM_SHARE $prefix/share/fsfm" "conflict fsfm"
    grep -q '1\.2' "$work/words" && grep -q 'fsfm --help' "$work/help" || fail "no version, or no help"
    ! grep -q '^module ' "$work/words" || fail "modules are loaded that nobody named"
done
sed 's,^set prefix "",set prefix /sw/fsfm,; s,^set needs "",set needs "openmpi/4.1 hdf5",' "$folder/1.2" >"$work/site/fsfm/copy"
read_module "$work/site/fsfm/copy"
expect "prepend-path PATH /sw/fsfm/bin" "module load openmpi/4.1" "module load hdf5"
exit 0
