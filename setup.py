"""Build the distribution darkpy-yolo: the package darkpy, its kernels and its cfgs.

Two folders are installed under other names than they have here. The top-level kernels/ becomes
darkpy.kernels.* (darkpy/kernels/__init__.py tells why and finds them in a checkout), and cfg/
becomes the data folder darkpy/zoo_cfg, because darkpy/cfg.py has the shorter name.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).resolve().parent
kernels = find_packages("kernels")


def version() -> str:
    """Read __version__ without importing the package, whose needs may not be installed yet."""
    text = (here / "darkpy" / "__init__.py").read_text("utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)[1]


setup(
    name="darkpy-yolo",
    version=version(),
    description="Darknet's YOLO in Python: the same .cfg and .weights, no compiler",
    long_description=(here / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    author="darkpy contributors",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    install_requires=[
        "click>=8.1",
        "matplotlib>=3.8",
        "numba>=0.61",  # llvmlite 0.44, the first with LLVM's passes as the engine calls them
        "numpy>=2",
        "opencv-python>=4.5,<6",
        "tensorboardX>=2.6.2",
        "tqdm",
    ],
    extras_require={
        # NVRTC and its headers, not cupy's [ctk], which brings a gigabyte of cuBLAS and others
        "cuda12": ["cupy-cuda12x>=14", "cuda-toolkit[cudart,nvrtc]==12.*"],
        "cuda13": ["cupy-cuda13x>=14", "cuda-toolkit[cudart,nvrtc]==13.*"],
        # several GPUs: sums over them, by what CuPy is built for, and what starts their processes
        **{
            f"nccl{cuda}": [
                f"nvidia-nccl-cu{cuda}>=2.18.1,<3; sys_platform == 'linux'",
                "mpi4py>=4",
                "mpich; sys_platform != 'win32'",
            ]
            for cuda in (12, 13)
        },
        "coco": ["pycocotools"],
        "test": [
            "hypothesis",
            "mpi4py>=4; sys_platform == 'linux'",
            "mpich; sys_platform == 'linux'",
            "mypy>=1.13,<3",
            # CUDA's compiler and disassembler: kernels are compiled for GPUs where there is none
            *(
                f"nvidia-cuda-{what}==13.*; sys_platform == 'linux'"
                for what in ("nvdisasm", "nvrtc", "runtime")
            ),
            "pycocotools",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.9,<0.18",
            "setuptools>=77",
        ],
    },
    packages=[
        *find_packages(include=["darkpy", "darkpy.*"]),
        *(f"darkpy.kernels.{name}" for name in kernels),
        "darkpy.zoo_cfg",
    ],
    package_dir={
        **{f"darkpy.kernels.{name}": f"kernels/{name.replace('.', '/')}" for name in kernels},
        "darkpy.zoo_cfg": "cfg",
    },
    package_data={
        "darkpy": ["py.typed"],
        "darkpy.kernels.cuda": ["*.cu", "*.cuh"],
        "darkpy.zoo_cfg": ["*.cfg", "*.data", "*.names"],
    },
    entry_points={"console_scripts": ["darkpy = darkpy.cli:main"]},
    zip_safe=False,
)
