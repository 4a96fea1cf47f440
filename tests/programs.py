"""Scripts, benchmarks and examples, which no package holds, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def load_program(folder: str, name: str) -> ModuleType:
    """``FOLDER/NAME.py`` of the project, run as a module that nobody else imports."""
    spec = importlib.util.spec_from_file_location(f"program_{name}", ROOT / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their names
    spec.loader.exec_module(module)
    return module
