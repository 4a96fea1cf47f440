"""serve."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import Device
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.memory import keep

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_MEGA = 10**6


def serve(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Runs, model files, exported .onnx files or timm:NAME; NAME=RUN gives a name. The "
            "first answers requests that name none."
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 for every network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None, typer.Option(help="Key that requests must give; others can see it in ps.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the key.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(help="auto (the exported file in a run, if it matches it), onnx or torch."),
    ] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 16,
    batch_wait: Annotated[
        float,
        typer.Option(min=0, max=60_000, help="Milliseconds that a batch waits for images."),
    ] = 5.0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode images.")] = 2,
    max_body: Annotated[
        float, typer.Option(min=0.001, max=100_000, help="Most megabytes of a request.")
    ] = 32.0,
    max_pixels: Annotated[
        float, typer.Option(min=0.001, max=100_000, help="Most megapixels of an image.")
    ] = 50.0,
    max_images: Annotated[int, typer.Option(min=1, help="Most images in a request.")] = 32,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Images that may wait for a model; beyond it, 429.")
    ] = 256,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1, max=86_400, help="Seconds to receive a body, and again to answer it."
        ),
    ] = 30.0,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name that the Host header may give; on 127.0.0.1 only its own may."
        ),
    ] = None,
    files: Annotated[
        Path | None, typer.Option(help="The folder of Label Studio's local files.")
    ] = None,
    label_studio_url: Annotated[
        str | None, typer.Option(help="A Label Studio whose uploads may be fetched.")
    ] = None,
    label_studio_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its access token.")
    ] = None,
    device: Device = None,
) -> None:
    """Answer over HTTP: REST, a page to try it, Label Studio and PhotoPrism.

    Example: `lookcloser serve runs/birds`, or
    `lookcloser serve birds=runs/birds dogs=dogs.onnx --port 9000 --api-key-env KEY`
    """
    _require_extra()
    from lookcloser.serve.app import Service
    from lookcloser.serve.engines.sources import read_sources
    from lookcloser.serve.limits import Access, Limits
    from lookcloser.serve.process import run

    limits = Limits(
        body=int(max_body * _MEGA),
        pixels=int(max_pixels * _MEGA),
        images=max_images,
        queue=max_queue,
        batch=batch_size,
        wait=batch_wait / 1000,
        decoders=workers,
        seconds=timeout,
        header_seconds=min(Limits.header_seconds, timeout),
    )
    access = Access(
        key=_key(api_key, api_key_env),
        hosts=_hosts(host, allow_host or []),
        files=None if files is None else str(files),
        label_studio=label_studio_url,
        label_studio_key=_variable(label_studio_key_env),
    )
    keep(False)  # this runs for long, and its decoders take much at times
    service = Service(read_sources(runs, engine), limits, access, device)
    for served in service.models.values():
        runs_on = "ONNX Runtime" if served.source.exported else "torch"
        header = served.version.header
        printing.say(f"{served.name}: {header.method}, {header.task}, on {runs_on}")
    if host not in _LOOPBACK and access.key is None:
        printing.say(
            "Anybody who can reach this machine may send requests: there is no --api-key-env"
        )
    run(service, limits, host, port, lambda at: printing.say(f"Serving at {at}, docs at {at}/docs"))


def _require_extra() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        names = ", ".join(name.replace("_", "-") for name in missing)
        raise LookcloserError(
            f"the server needs {names}, which is not installed",
            fix="Install it: `pip install 'lookcloser[serve]'`",
        )


def _key(given: str | None, variable: str | None) -> str | None:
    if given is not None and variable is not None:
        raise UsageError("--api-key beside --api-key-env", fix="Give one of them")
    key = _variable(variable) if given is None else given
    if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
        raise UsageError("the key cannot be sent in a header", allowed="Printable ASCII")
    return key


def _variable(name: str | None) -> str | None:
    if name is None:
        return None
    if not os.environ.get(name):
        raise UsageError(
            f"{name}: an environment variable that is not set", fix="Set and export it"
        )
    return os.environ[name]


def _hosts(host: str, allowed: list[str]) -> frozenset[str] | None:
    """The names that requests may give: on loopback, pages of others reach us by other names."""
    if host not in _LOOPBACK and not allowed:
        return None
    own = {*_LOOPBACK, "[::1]"} if host in _LOOPBACK else set()
    return frozenset({*own, host, *(name.lower() for name in allowed)})
