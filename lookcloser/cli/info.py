"""info: what a bug report needs."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.runs import Json
from lookcloser.version import __version__

PACKAGES = ("torch", "torchvision", "timm", "lightning", "safetensors", "numpy", "scipy", "pillow")
OPTIONAL = ("onnxruntime", "fastapi", "ray", "pillow-heif")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")


def info(json: Json = False) -> None:
    """Show versions, machine and devices for a bug report. No names, paths or data.

    Example: `lookcloser info`
    """
    found = _collect()
    if json:
        printing.print_json(found)
        return
    for name, value in found.items():
        typer.echo(f"{name}: {value}")


def _collect() -> dict[str, Any]:
    import torch

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    variables = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    return {
        "lookcloser": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        **{name: _version(name) for name in PACKAGES},
        **{name: found for name in OPTIONAL if (found := _version(name)) != "not installed"},
        "cpu_cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "thread_variables": variables,
        "cuda": torch.version.cuda,
        "gpus": devices,
        "mps": torch.backends.mps.is_available(),
        "encoding": sys.stdout.encoding,
    }


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
