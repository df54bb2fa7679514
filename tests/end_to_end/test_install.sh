#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cmake --install: a prefix that works after it was moved, that knows nothing of the build, and whose batch scripts start the
# program in it. What else jobs/install has for clusters: test_modulefile.sh, and below the recipes.
. "$SOURCE/tests/support/runs.sh" || exit 1
build=$(dirname "$FSFM")
cmake --install "$build" --prefix "$work/first" >"$work/log" 2>&1 || fail "cmake --install: $(tail -n 3 "$work/log")"
mv "$work/first" "$work/moved"
at=$work/moved
for file in bin/fsfm share/fsfm/README.md share/fsfm/configs/{README.md,quickstart.yaml,machines/h100.yaml,sweeps/masking.yaml} \
    share/fsfm/jobs/{launch.sh,SCALING.md,slurm/{pretrain,finetune,pack,sweep}.sbatch,install/README.md}; do
    [ -f "$at/$file" ] || fail "there is no $file"
done
[ -x "$at/bin/fsfm" ] && [ -x "$at/share/fsfm/jobs/launch.sh" ] || fail "programs cannot be started"
[ ! -e "$at/share/fsfm/configs/machines/local.yaml" ] || fail "what this machine reaches was installed"
[ ! -e "$build/libfsfm_cuda.so" ] || [ -f "$at/lib/libfsfm_cuda.so" ] || fail "the plugin is not in lib"
for file in "$at"/bin/fsfm "$at"/lib/*.so; do
    [ -e "$file" ] || continue
    readelf -d "$file" >"$work/dynamic" || fail "readelf $file"
    ! grep -E '\((RPATH|RUNPATH)\)' "$work/dynamic" | grep -F -e "$build" -e "$SOURCE" -e "$work" ||
        fail "$file looks for libraries in the build"
done
# Links of the pages lead to files that are there.
while IFS=: read -r page link; do
    [ -e "$(dirname "$page")/$link" ] || fail "$page links to $link, which is not there"
done < <(cd "$at/share/fsfm" && find "$PWD" -name '*.md' -exec grep -oHE '\]\([^)#:]+\)' {} + | sed 's/](\(.*\))$/\1/')

# A clean environment, another folder: nothing but the prefix.
mkdir "$work/elsewhere" && cd "$work/elsewhere" || exit 1
fsfm=$at/bin/fsfm
unset FSFM_CUDA_PLUGIN
"$fsfm" --version >out || fail "--version"
"$fsfm" synth faces --count 40 --seed 3 >log && "$fsfm" pack faces data >log || fail "synth, pack"
tiny=("${small[@]:1}" data.path=data train.global_batch=8 run.threads=1)
"$fsfm" plan quickstart "${tiny[@]}" --ranks 2 --json >plan || fail "plan of a configuration by its name"
"$fsfm" plan pretrain_vit_b16 --samples 100000 --gpu h100 train.precision=bf16 >out || fail "plan of a machine by its name"
"$RANKS" 2 "$fsfm" pretrain quickstart "${tiny[@]}" run.dir=run train.max_steps=2 >log 2>&1 || fail "pretrain: $(tail -n 3 log)"
grep -q '"status": "done"' run/state.json && [ "$(grep -c '"kind": "train"' run/metrics.jsonl)" = 2 ] || fail "the run has not two steps"
"$fsfm" plan nothing_like_it >out 2>err
[ $? = 2 ] && grep -q '^fsfm: nothing_like_it: ' err || fail "a configuration that is not there: $(cat err)"
printf 'mask:\n  ratoi: 1\n' >quickstart # a file of that name goes before
"$fsfm" plan quickstart "${tiny[@]}" >out 2>err
[ $? = 2 ] && grep -q '^fsfm: quickstart:2:3: mask.ratoi: ' err || fail "a file here is passed over: $(cat err)"
rm quickstart

"$fsfm" submit quickstart "${tiny[@]}" run.dir=queued --dry-run >script 2>log || fail "submit: $(tail -n 1 log)"
bash -n script && grep -qxF "FSFM=\${FSFM:-$fsfm}" script || fail "the batch script does not start the program of the prefix"
printf 'base: %s\nset:\n  run.dir: sweep\ngrid:\n  mask.ratio: [0.6, 0.75]\nmetric: loss\n' "$at/share/fsfm/configs/quickstart.yaml" >sweep.yaml
"$fsfm" sweep submit sweep.yaml data.path=data --dry-run >script 2>log || fail "sweep submit: $(tail -n 1 log)"
bash -n script && grep -qF "$fsfm sweep run" script || fail "the array does not start the program of the prefix"

# Where a driver is, the plugin is looked for in ../lib: an empty library in the driver's place shows whether it is found there.
if command -v cc >/dev/null; then
    mkdir driver && cc -shared -o driver/libcuda.so.1 -x c /dev/null || fail "cc"
    rm -f "$at/lib/libfsfm_cuda.so"
    LD_LIBRARY_PATH=$work/elsewhere/driver "$fsfm" --version >out && grep -q 'libfsfm_cuda.so is neither in' out || fail "no plugin, no word: $(cat out)"
    mkdir -p "$at/lib" && cc -shared -o "$at/lib/libfsfm_cuda.so" -x c /dev/null || fail "cc"
    LD_LIBRARY_PATH=$work/elsewhere/driver "$fsfm" --version >out && grep -q 'lib/libfsfm_cuda.so is no plugin of fsfm' out ||
        fail "the plugin in lib is not found: $(cat out)"
fi

# The batch scripts by themselves take the program of PATH, unless there is one in build/. Copies of those that are
# pretrain.sbatch for another command find it where fsfm is installed.
program() { (eval "$(grep '^FSFM=' "$at/share/fsfm/jobs/slurm/pretrain.sbatch")" && echo "$FSFM"); }
unset FSFM
[ "$(program)" = fsfm ] || fail "pretrain.sbatch would start $(program)"
mkdir build && cp "$fsfm" build/fsfm
[ "$(program)" = build/fsfm ] || fail "pretrain.sbatch passes over build/fsfm"
rm -r build
[ "$(FSFM=/x/fsfm program)" = /x/fsfm ] || fail "pretrain.sbatch passes over FSFM"
for script in finetune pack; do
    cp "$at/share/fsfm/jobs/slurm/$script.sbatch" copy
    FSFM_SHARE=$at/share/fsfm bash copy >out 2>err
    [ $? = 2 ] && grep -q "^usage: sbatch .*/$script.sbatch " err || fail "a copy of $script.sbatch: $(cat err)"
    bash copy >out 2>err # and says so where it does not
    [ $? = 2 ] && grep -q 'pretrain.sbatch: No such file' err || fail "a copy of $script.sbatch alone: $(cat err)"
done

# The recipes: what Apptainer runs is shell; Spack's class, on stand-ins for its words, asks for what CMakeLists.txt looks for.
awk '/^%/ { inside = /^%(post|test|runscript|environment)/; next } inside' "$at/share/fsfm/jobs/install/fsfm.def" >post
[ "$(wc -l <post)" -gt 10 ] && bash -n post || fail "fsfm.def is no shell"
python3 - "$SOURCE" <<'P' || fail "package.py"
import re, sys, types
source = sys.argv[1]
asked, defined = {}, {}
class Spec:
    def __init__(self, cuda): self.cuda, self.variants = cuda, {"cuda_arch": types.SimpleNamespace(value=("90",) if cuda else ("none",))}
    def satisfies(self, what): assert what == "+cuda"; return self.cuda
class Base:
    run_tests = False
    def define(self, name, value): defined[name] = value; return f"-D{name}={value}"
spack = types.ModuleType("spack.package")
for word in ("license", "version", "conflicts"): setattr(spack, word, lambda *a, **k: None)
spack.depends_on = lambda spec, **k: asked.update({re.split("[@:~ ]", spec)[0]: k.get("when")})
spack.CMakePackage, spack.CudaPackage = Base, type("Cuda", (), {})
sys.modules.update({"spack": types.ModuleType("spack"), "spack.package": spack})
path = source + "/jobs/install/spack/packages/fsfm/package.py"
space = {"__file__": path, "__name__": "package"}
exec(compile(open(path).read(), path, "exec"), space)
names = {"MPI": "mpi", "HDF5": "hdf5", "PNG": "libpng", "JPEG": "jpeg", "ZLIB": "zlib-api", "PkgConfig": "pkgconfig", "yaml-0.1": "libyaml",
         "libxxhash": "xxhash", "cmocka": "cmocka", "CUDAToolkit": "cuda", "Threads": None, "OpenMP": None} # the last two: the compiler's
text = open(source + "/CMakeLists.txt").read() + open(source + "/tests/CMakeLists.txt").read()
found = re.findall(r"find_package\((\w+)", text) + re.findall(r"IMPORTED_TARGET ([\w.-]+)\)", text)
assert len(found) >= 11, found
for name in found: assert names[name] is None or names[name] in asked, (name, asked)
assert "onednn" in asked and asked["cuda"] == "+cuda" and asked["mpi"] is None, asked
assert space["Fsfm"].git == "file://" + source, space["Fsfm"].git
for cuda in (False, True):
    package = space["Fsfm"]()
    package.spec = Spec(cuda)
    arguments = package.cmake_args()
    assert defined["FSFM_CUDA"] == ("ON" if cuda else "OFF") and defined["FSFM_TESTS"] is False, arguments
    assert ("CMAKE_CUDA_ARCHITECTURES" in defined) == cuda, arguments
P
exit 0
