"""What Lightning says too often, and what has to be heard."""

from __future__ import annotations

import logging
import warnings

import pytest

from lookcloser.training.calm import calm_lightning

KNOWN = [
    ("The 'train_dataloader' does not have many workers which may be a bottleneck", UserWarning),
    ("The number of training batches (3) is smaller than the logging interval", UserWarning),
    ("You passed in a `val_dataloader` but have no `val_dataloader`.", UserWarning),
    ("`training_step` returned `None`. If this was on purpose", UserWarning),
    ("find_unused_parameters=True was specified in DDP constructor", UserWarning),
    ("Grad strides do not match bucket view strides", UserWarning),
]


@pytest.mark.parametrize(("text", "kind"), KNOWN)
def test_what_was_chosen_here_is_not_told(text: str, kind: type[Warning]) -> None:
    with calm_lightning():
        warnings.warn(text, kind, stacklevel=1)
    with pytest.warns(kind):
        warnings.warn(text, kind, stacklevel=1)


def test_new_names_of_torch_are_lightnings_business_alone() -> None:
    given = {"message": "use the new name", "category": FutureWarning, "lineno": 1}
    with calm_lightning():
        warnings.warn_explicit(**given, filename="x.py", module="lightning.pytorch.loops")
        with pytest.raises(FutureWarning):
            warnings.warn_explicit(**given, filename="x.py", module="lookcloser.models")


def test_whatever_else_is_wrong_is_heard() -> None:
    with calm_lightning(), pytest.raises(UserWarning, match="loss is wrong"):
        warnings.warn("the loss is wrong", stacklevel=1)


def test_its_log_has_errors_alone() -> None:
    with calm_lightning():
        log = logging.getLogger("lightning.pytorch")
        assert not log.isEnabledFor(logging.WARNING)
        assert log.isEnabledFor(logging.ERROR)
