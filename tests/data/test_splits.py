import hashlib
import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Sample, make_splits


def sample(name: str, label: str = "cat", split: str | None = None) -> Sample:
    return Sample(name, Path(name), labels=(label,) if label else (), split=split)


def samples(split: str | None = None, **sizes: int) -> list[Sample]:
    return [
        sample(f"{split or 'all'}/{label}/{i:04d}.jpg", label, split)
        for label, n in sizes.items()
        for i in range(n)
    ]


def splits_of(given: list[Sample], **options: Any) -> dict[str, str]:
    return {s.name: s.split or "" for s in make_splits(given, **options)}


def sizes_of(given: list[Sample], **options: Any) -> dict[tuple[str, str], int]:
    made = make_splits(given, **options)
    return dict(Counter((s.split or "", s.labels[0]) for s in made))


def literal_splits(given: list[Sample], seed: int, val: float, test: float) -> dict[str, str]:
    """The rule as it is written, for samples without splits."""

    def rank(name: str, target: str) -> str:
        digest = hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
        return digest[:32] if target == "test" else digest[32:]

    result = {}
    for label in {s.labels[0] for s in given}:
        names = sorted(
            (s.name for s in given if s.labels[0] == label), key=lambda n: rank(n, "test")
        )
        tested = names[: min(round(test * len(names) + 1e-9), len(names) - 1)]
        rest = sorted(set(names) - set(tested), key=lambda n: rank(n, "val"))
        checked = rest[: min(round(val * len(rest) + 1e-9), len(rest) - 1)]
        result |= dict.fromkeys(names, "train") | dict.fromkeys(tested, "test")
        result |= dict.fromkeys(checked, "val")
    return result


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(("val", "test"), [(0.1, 0.2), (0.25, 0.0), (0.0, 0.5), (0.4, 0.4)])
def test_splits_equal_the_written_rule(seed: int, val: float, test: float) -> None:
    given = samples(cat=53, dog=20, eel=7, fox=2)
    made = splits_of(given, seed=seed, val_share=val, test_share=test)
    assert made == literal_splits(given, seed, val, test)


def test_known_values_hold_on_every_machine() -> None:
    made = splits_of(samples(cat=10), val_share=0.2, test_share=0.3)
    # Ranked with sha256sum and sort.
    assert {name[-8:-4] for name, split in made.items() if split == "test"} == {
        "0003",
        "0004",
        "0007",
    }
    assert {name[-8:-4] for name, split in made.items() if split == "val"} == {"0008"}


def test_every_class_is_split_alike() -> None:
    assert sizes_of(samples(cat=100, dog=10)) == {
        ("train", "cat"): 72,
        ("val", "cat"): 8,
        ("test", "cat"): 20,
        ("train", "dog"): 7,
        ("val", "dog"): 1,
        ("test", "dog"): 2,
    }


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_small_class_keeps_an_image_to_train_on(number: int) -> None:
    sizes = sizes_of(samples(cat=number), val_share=0.9, test_share=0.9)
    assert sizes["train", "cat"] >= 1
    assert sum(sizes.values()) == number


def test_half_an_image_is_rounded_up() -> None:
    assert sizes_of(samples(cat=5), val_share=0.1, test_share=0)["val", "cat"] == 1
    assert sizes_of(samples(cat=15), val_share=0.1, test_share=0)["val", "cat"] == 2


def test_the_order_of_the_files_does_not_matter_and_is_kept() -> None:
    given = samples(cat=40, dog=30)
    mixed = random.Random(0).sample(given, len(given))
    assert splits_of(mixed) == splits_of(given)
    assert [s.name for s in make_splits(mixed)] == [s.name for s in mixed]


def test_an_added_image_moves_few_others() -> None:
    given = samples(cat=200, dog=200)
    before = splits_of(given)
    for i in range(10):
        more = [*given, sample(f"new/{i}.jpg")]
        after = splits_of(more)
        moved = [name for name in before if before[name] != after[name]]
        assert len(moved) <= 2
        assert all("cat" in name for name in moved)


def test_another_seed_makes_other_splits() -> None:
    given = samples(cat=200)
    assert splits_of(given, seed=1) != splits_of(given, seed=0)


def test_val_is_not_chosen_from_those_next_in_line_for_test() -> None:
    # With one hash for both, a larger test share would eat up exactly the old val.
    given = samples(cat=1000)
    val = {name for name, split in splits_of(given).items() if split == "val"}
    tested = {name for name, split in splits_of(given, test_share=0.3).items() if split == "test"}
    assert len(val & tested) < len(val) / 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"train": 20, "test": 5}, {"train": 18, "val": 2, "test": 5}),
        ({"train": 20, "val": 5}, {"train": 20, "val": 5}),
        ({"train": 20, "val": 5, "test": 5}, {"train": 20, "val": 5, "test": 5}),
        ({"train": 20}, {"train": 14, "val": 2, "test": 4}),
        ({"test": 5}, {"test": 5}),
        ({"val": 5, "test": 5}, {"val": 5, "test": 5}),
    ],
)
def test_given_splits_are_kept(given: dict[str, int], expected: dict[str, int]) -> None:
    mixed = [s for split, n in given.items() for s in samples(split, cat=n)]
    made = splits_of(mixed)
    assert Counter(made.values()) == expected
    kept = {s.name: s.split for s in mixed if s.split != "train"}
    assert kept.items() <= made.items()


def test_no_shares_no_splits() -> None:
    assert set(splits_of(samples(cat=9), val_share=0, test_share=0).values()) == {"train"}


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(
        LookcloserError, match=r"val_share .*: not a share\. Allowed: at least 0, below 1"
    ):
        make_splits([], val_share=share)


def test_accents_hash_alike_whether_composed_or_not() -> None:
    names = [f"Möwe/{i}é.jpg" for i in range(50)]
    composed = [sample(unicodedata.normalize("NFC", name)) for name in names]
    decomposed = [sample(unicodedata.normalize("NFD", name)) for name in names]
    assert composed[0].name != decomposed[0].name
    assert list(splits_of(composed).values()) == list(splits_of(decomposed).values())


def test_names_that_are_no_valid_text_are_split_too() -> None:
    assert set(splits_of([sample(f"caf\udce9{i}.jpg") for i in range(9)]).values()) >= {"train"}


def test_images_with_several_labels_are_split_by_the_rarest() -> None:
    common = [Sample(f"c{i}", Path(), labels=("sky",)) for i in range(90)]
    rare = [Sample(f"r{i}", Path(), labels=("sky", "kite")) for i in range(10)]
    made = make_splits(common + rare, val_share=0, test_share=0.2)
    tested = [s for s in made if s.split == "test"]
    assert Counter(s.labels[-1] for s in tested) == {"sky": 18, "kite": 2}


def test_images_without_labels_are_split_together() -> None:
    made = splits_of([sample(f"{i}.jpg", label="") for i in range(50)])
    assert Counter(made.values()) == {"train": 36, "val": 4, "test": 10}


def tagged(count: int = 600, seed: int = 0) -> list[Sample]:
    """Images with tags of very different frequency, some of which come in pairs."""
    generator = random.Random(seed)
    shares = {f"tag{i}": 0.5 / (i + 1) for i in range(40)}
    given = []
    for index in range(count):
        tags = {name for name, share in shares.items() if generator.random() < share}
        if "tag3" in tags and generator.random() < 0.9:
            tags.add("tag20")
        given.append(Sample(f"{index:04d}.jpg", Path(), labels=tuple(sorted(tags))))
    return given


def tag_counts(made: Sequence[Sample]) -> dict[str, Counter[str]]:
    """Split -> images per tag; untagged images under ""."""
    found: dict[str, Counter[str]] = {split: Counter() for split in ("train", "val", "test")}
    for image in made:
        found[image.split or ""].update(image.labels or ("",))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_every_tag_is_split_alike(seed: int) -> None:
    given = tagged(seed=seed)
    found = tag_counts(make_splits(given, seed=seed))
    for name in {label for image in given for label in image.labels} | {""}:
        total = sum(of[name] for of in found.values())
        # Chance alone would miss by two standard deviations: 13 of the 300 images of tag 0.
        assert abs(found["test"][name] - 0.2 * total) <= 2.5 + 0.015 * total
        assert abs(found["val"][name] - 0.08 * total) <= 2.5 + 0.015 * total
    sizes = {split: sum(s.split == split for s in make_splits(given)) for split in found}
    assert sizes["test"] == pytest.approx(120, abs=15)
    assert sizes["val"] == pytest.approx(48, abs=8)


def test_rare_tags_do_not_starve_the_smaller_split() -> None:
    # Pairs with a tag of their own: decided pair by pair, neither test nor val would get any.
    given = [Sample(f"{i}", Path(), labels=("sky", f"own{i // 2}")) for i in range(200)]
    given += [Sample(f"plain{i}", Path(), labels=("sky",)) for i in range(100)]
    found = tag_counts(make_splits(given))
    assert (found["test"]["sky"], found["val"]["sky"]) == (60, 24)


def test_every_tag_keeps_an_image_to_train_on() -> None:
    for seed in range(20):
        generator = random.Random(seed)
        given = [
            Sample(f"{i}", Path(), labels=tuple(generator.sample("abcdefghijkl", 3)))
            for i in range(12)
        ]
        found = tag_counts(make_splits(given, val_share=0.6, test_share=0.6))
        assert set(found["train"]) == {label for image in given for label in image.labels}


def test_an_added_image_with_tags_moves_few_others() -> None:
    given = tagged()
    before = splits_of(given)
    for i in range(10):
        after = splits_of([*given, Sample(f"new{i}", Path(), labels=("tag0", "tag5", "tag30"))])
        assert sum(before[name] != after[name] for name in before) <= 20


def test_the_order_of_tagged_images_and_of_their_tags_does_not_matter() -> None:
    given = tagged()
    mixed = [replace(s, labels=s.labels[::-1]) for s in random.Random(0).sample(given, len(given))]
    assert splits_of(mixed) == splits_of(given)


def test_captions_are_split_by_the_hash_alone() -> None:
    given = [Sample(f"{i:03d}.jpg", Path(), captions=(f"caption {i}",)) for i in range(100)]
    silent = [Sample(sample.name, Path()) for sample in given]
    assert Counter(splits_of(given).values()) == {"train": 72, "val": 8, "test": 20}
    assert splits_of(given) == splits_of(silent)
