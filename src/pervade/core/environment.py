"""What a run depended on: versions, processor, memory, and the command."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

from pervade.core import runtime

PACKAGES = ("pervade", "torch", "torchvision", "numpy", "scikit-learn", "pyarrow", "pillow", "safetensors")


def describe() -> dict[str, Any]:
    """Loads torch, since what it finds on this machine belongs to the description."""
    import psutil
    import torch

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed as a package"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": gpus,
        "packages": versions,
        "process": runtime.prepare(),  # what was set before torch loaded; asking again changes nothing
    }


def command() -> list[str]:
    """The command line that started this process, with `pervade` for the path of its script."""
    name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"  # noqa: PTH119
    return ["pervade" if name in ("pervade", "__main__.py") else name, *sys.argv[1:]]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
