"""What a backbone may be given: everything that timm refuses, in whatever way, is one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.models.making import check_backbone, create, first_line


@pytest.mark.parametrize(
    "options",
    [{"act_layer": "nope"}, {"block": "x"}, {"layers": [1]}, {"layers": "x"}, {"stem_width": -3},
     {"cardinality": 7}, {"output_stride": 3}, {"norm_layer": "groupnorm"}, {"paddding": 1}],
)  # fmt: skip
def test_what_a_constructor_refuses_in_any_way_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(
        LookcloserError, match=r"not arguments of the backbone test_resnet .*model_kwargs"
    ):
        create("test_resnet", options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop_path_rate": 1.5}, r"drop_path_rate=1.5. Allowed: 0 or more, below 1"),
        ({"drop_rate": -0.1}, r"drop_rate=-0.1. Allowed: 0 or more, below 1"),
        ({"features_only": True}, "features_only: the features of the last stage .*Leave it out"),
        ({"num_classes": 3}, "num_classes: the data says how many there are. Leave it out"),
        ({"in_chans": 4}, "in_chans=4: images are given in three channels"),
    ],
)
def test_what_makes_no_backbone_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LookcloserError, match=message):
        create("test_resnet", options)


def test_a_tag_that_does_not_exist_is_an_unknown_backbone() -> None:
    check_backbone("test_resnet.r160_in1k")
    with pytest.raises(UsageError, match="resnet18.nope: unknown backbone. Close: resnet18"):
        check_backbone("resnet18.nope")


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(AssertionError()) == "AssertionError"
