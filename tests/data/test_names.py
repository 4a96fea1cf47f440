"""One name for what a person takes for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lookcloser.core.choices import Task
from lookcloser.data import Catalog, Sample
from lookcloser.data.names import tidy, tidy_name

NFC, NFD = "caf\u00e9", "cafe\u0301"
BYTES = "caf\udce9"  # how Python keeps a byte that is not UTF-8
SPELLED = "caf\\xe9"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("cat", "cat"),
        ("  great  tit ", "great tit"),
        ("great\u00a0\ttit\n", "great tit"),
        ("\ufeffowl\u200b", "owl"),
        (NFD, NFC),
        (BYTES, SPELLED),
        ("Cat", "Cat"),
        ("Москва", "Москва"),
        ("<b>&amp;", "<b>&amp;"),
        ("\u200b", ""),
    ],
)
def test_names_are_plain_and_stay_so(name: str, plain: str) -> None:
    assert tidy_name(name) == plain
    assert tidy_name(plain) == plain


def catalog(*labels: tuple[str, ...], task: Task = "multilabel", **fields: Any) -> Catalog:
    names = tuple(dict.fromkeys(label for own in labels for label in own))
    samples = tuple(
        Sample(f"{number}.jpg", Path("x"), own, boxes=tuple((o, (0, 0, 1, 1)) for o in own))
        for number, own in enumerate(labels)
    )
    return Catalog(Path("d"), "table", task, names, samples, **fields)


def test_names_labels_boxes_and_groups_are_renamed_alike() -> None:
    given = catalog((NFC, " dog"), (NFD, NFC, "dog"), parents={NFD: "food ", " dog": "pets"})
    found = tidy(given)
    assert found.names == (NFC, "dog")
    assert [sample.labels for sample in found.samples] == [(NFC, "dog"), (NFC, "dog")]
    assert [label for label, _ in found.samples[1].boxes] == [NFC, NFC, "dog"], "no box is lost"
    assert found.parents == {NFC: "food", "dog": "pets"}
    assert found.notes == (f"2 tags written in several ways, read as one: '{NFC}', 'dog'",)


def test_what_is_plain_stays_the_same_object() -> None:
    given = catalog(("cat",), ("dog",), notes=("as read",))
    found = tidy(given)
    assert all(one is other for one, other in zip(given.samples, found.samples, strict=True))
    assert (found.names, found.notes) == (given.names, ("as read",))


def test_only_words_of_one_spelling_in_two_cases_are_noted() -> None:
    found = tidy(catalog(("Cat", "cat", "Dog", "STRASSE", "Stra\u00dfe"), task="classification"))
    assert found.names == ("Cat", "cat", "Dog", "STRASSE", "Stra\u00dfe")
    assert found.notes == (
        "Differ in case only, and are 4 classes: 'Cat', 'cat', 'STRASSE', 'Stra\u00dfe'",
    )


def test_bytes_of_names_are_spelled_out_wherever_they_stand() -> None:
    samples = (
        Sample(f"{BYTES}.jpg", Path(f"{BYTES}.jpg"), (BYTES,), (f"a {BYTES}",)),
        Sample("1.jpg", Path("1.jpg"), ("b",), boxes=((None, (0, 0, 1, 1)),)),
    )
    given = Catalog(
        Path("d"), "table", "classification", (BYTES, "b"), samples,
        skipped=((BYTES, f"{BYTES} is not there"),), notes=(BYTES,),
    )  # fmt: skip
    found = tidy(given)
    first, second = found.samples
    assert (first.name, first.labels, first.captions) == (
        f"{SPELLED}.jpg", (SPELLED,), (f"a {SPELLED}",)
    )  # fmt: skip
    assert first.source == samples[0].source, "the file is still to be found"
    assert second is samples[1]
    assert found.skipped == ((SPELLED, f"{SPELLED} is not there"),)
    assert found.notes == (
        SPELLED, f"Names that are not UTF-8, with their bytes spelled out: '{SPELLED}'"
    )  # fmt: skip
