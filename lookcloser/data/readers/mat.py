"""Reads variables of a MATLAB file and prints them as JSON: a program of its own, see `read_mat`.

It is run by its path, in a process that may crash or be stopped; imports nothing of the package.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

_MEMORY = 2 << 30


def plain(value: Any) -> Any:
    """What scipy makes of MATLAB's values as lists, dictionaries, numbers and strings."""
    fields = getattr(getattr(value, "dtype", None), "names", None)
    if getattr(value, "ndim", 0):
        return [plain(entry) for entry in value]
    if fields:
        return {field: plain(value[field]) for field in fields}
    item = getattr(value, "item", None)
    inner = value if item is None else item()
    if isinstance(inner, str | int | float | bool):
        return inner
    if inner is value:
        return str(value)
    return plain(inner)


def main(path: str, *names: str) -> None:
    """Print the variables ``names`` of the file ``path``, those that it has."""
    with suppress(ImportError, ValueError, OSError):  # not every system has limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from scipy.io import loadmat

    content = loadmat(path, squeeze_me=True, variable_names=names)
    found = {name: plain(content[name]) for name in names if name in content}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
