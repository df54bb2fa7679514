# SPDX-License-Identifier: Apache-2.0
"""fsfm for Spack, built from the git repository that this file lies in."""

import os

try:  # Spack 1.0 and later
    from spack_repo.builtin.build_systems.cmake import CMakePackage
    from spack_repo.builtin.build_systems.cuda import CudaPackage
except ImportError:  # before that, spack.package has them
    pass
from spack.package import *


class Fsfm(CMakePackage, CudaPackage):
    """Pretrains FSFM, a self-supervised vision transformer on faces, on MPI ranks with processors or GPUs."""

    git = "file://" + os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 5))

    license("Apache-2.0")

    version("main", branch="main")

    # CudaPackage brings the variants cuda and cuda_arch.
    depends_on("c", type="build")
    depends_on("cxx", type="build", when="+cuda")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5@1.10.3:~mpi")  # files are opened by one process each
    depends_on("libyaml")
    depends_on("onednn@2.6: cpu_runtime=omp")
    depends_on("xxhash")
    depends_on("libpng")
    depends_on("jpeg")
    depends_on("zlib-api")
    depends_on("cuda@12:", when="+cuda")
    depends_on("nccl", when="+cuda")  # loaded when it runs, from where the plugin's RUNPATH says
    depends_on("cmocka", type="test")

    conflicts("%gcc@:10", msg="the kernels want AMX and AVX512_BF16 intrinsics: gcc 11 or later")

    def cmake_args(self):
        args = [
            self.define("FSFM_TESTS", self.run_tests),
            self.define("FSFM_CUDA", "ON" if self.spec.satisfies("+cuda") else "OFF"),
        ]
        archs = self.spec.variants["cuda_arch"].value if self.spec.satisfies("+cuda") else ("none",)
        if tuple(archs) != ("none",):
            args.append(self.define("CMAKE_CUDA_ARCHITECTURES", list(archs)))
        return args

    def check(self):
        """spack install --test=root: what needs neither a launcher's slots nor minutes."""
        with working_dir(self.build_directory):
            which("ctest", required=True)("-L", "^(unit|io|device|gradient)$", "-E", r"\.(AVX2|SSE41|cuda)")
