"""methods: what there is, from what each method's folder declares."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lookcloser.cli.terminal import printing
from lookcloser.core.choices import TRAITS
from lookcloser.core.options import Declared
from lookcloser.models.options import Method
from lookcloser.models.registry import METHODS


def methods(
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON on stdout, with each method's options.")
    ] = False,
) -> None:
    """List the methods of each task; the first one is the default.

    Example: `lookcloser methods`
    """
    found = _by_task()
    if json:
        printing.print_json([_as_json(method) for method in found])
        return
    rows = [[method.name, ", ".join(method.tasks), method.summary] for method in found]
    printing.print_table("Methods", ["method", "task", "what it is"], rows, texts=3)
    printing.next_step("train", "DATA", "--method", found[0].name)


def _as_json(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "tasks": list(method.tasks),
        "summary": method.summary,
        "default_for": [task for task, traits in TRAITS.items() if traits.method == method.name],
        "options": [_option(item) for item in method.own.values()],
    }


def _option(item: Declared) -> dict[str, Any]:
    allowed = item.allowed()
    return {"name": item.name, "default": item.default, "allowed": allowed, "help": item.help}


def _by_task() -> list[Method]:
    tasks = list(map(str, TRAITS))
    defaults = {traits.method for traits in TRAITS.values()}
    return sorted(METHODS.values(), key=lambda m: (tasks.index(m.tasks[0]), m.name not in defaults))
