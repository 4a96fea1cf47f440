import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from lookcloser.core.choices import Task
from lookcloser.data import Catalog, Sample, TagPair
from lookcloser.data.checking.statistics import RARE_BELOW, caption_statistics, tag_statistics


def tagged(*rows: str, names: str = "") -> Catalog:
    """From "split tag tag …"."""
    split_tags = [row.split() for row in rows]
    samples = tuple(
        Sample(str(i), Path(str(i)), labels=tuple(tags), split=split)
        for i, (split, *tags) in enumerate(split_tags)
    )
    found = sorted({tag for _, *tags in split_tags for tag in tags})
    return Catalog(Path("x"), "table", "multilabel", tuple(names.split() or found), samples)


def captioned(*images: tuple[str, ...]) -> Catalog:
    samples = tuple(
        Sample(str(i), Path(str(i)), captions=captions, split="train")
        for i, captions in enumerate(images)
    )
    return Catalog(Path("x"), "table", "captioning", (), samples)


def test_tags_by_hand() -> None:
    found = tag_statistics(
        tagged(
            "train cat dog", "train dog", "train", "val", "test eel dog", names="cat dog eel fox"
        )
    )
    assert found is not None
    assert list(found.images.items()) == [("dog", 3), ("cat", 1), ("eel", 1), ("fox", 0)]
    assert found.per_image == (0, 1.0, 2)
    assert found.untagged == {"train": 1, "val": 1, "test": 0}
    assert found.untrained == ("eel", "fox")
    # Five images: P(dog) = 3/5, and the one cat has a dog.
    assert [(p.first, p.second, p.images) for p in found.pairs] == [
        ("cat", "dog", 1),
        ("eel", "dog", 1),
    ]
    pair = found.pairs[0]
    assert pair.second_given_first == 1.0
    assert pair.first_given_second == pytest.approx(1 / 3)
    assert pair.lift == pytest.approx(5 / 3)


def literal_pairs(catalog: Catalog) -> dict[tuple[str, str], TagPair]:
    """Every pair from a matrix of zeros and ones; G² from scipy."""
    matrix = np.array([[n in s.labels for n in catalog.names] for s in catalog.samples])
    result = {}
    for a, b in combinations(range(len(catalog.names)), 2):
        first, second = sorted((a, b), key=lambda i: (matrix[:, i].sum(), catalog.names[i]))
        x, y = matrix[:, first], matrix[:, second]
        both = int((x & y).sum())
        if both == 0 or both / len(x) <= x.mean() * y.mean():
            continue
        table = [[both, (x & ~y).sum()], [(~x & y).sum(), (~x & ~y).sum()]]
        strength = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        result[catalog.names[first], catalog.names[second]] = TagPair(
            catalog.names[first],
            catalog.names[second],
            both,
            y[x].mean(),
            x[y].mean(),
            (x & y).mean() / (x.mean() * y.mean()),
            strength,
        )
    return result


@pytest.mark.parametrize("seed", range(5))
def test_pairs_equal_a_literal_count_with_scipy(seed: int) -> None:
    generator = random.Random(seed)
    shares = {f"t{i}": generator.uniform(0.05, 0.8) for i in range(8)}
    rows = [
        " ".join(["train", *(t for t, share in shares.items() if generator.random() < share)])
        for _ in range(60)
    ]
    catalog = tagged(*rows)
    found = tag_statistics(catalog)
    assert found is not None
    expected = literal_pairs(catalog)
    assert {(p.first, p.second) for p in found.pairs} == set(expected)
    for pair in found.pairs:
        other = expected[pair.first, pair.second]
        assert pair.images == other.images
        assert pair.second_given_first == pytest.approx(other.second_given_first)
        assert pair.first_given_second == pytest.approx(other.first_given_second)
        assert pair.lift == pytest.approx(other.lift)
        assert pair.strength == pytest.approx(other.strength)
    strengths = [pair.strength for pair in found.pairs]
    assert strengths == sorted(strengths, reverse=True)


def test_many_images_count_more_than_a_high_lift() -> None:
    often = ["train couch remote"] * 8 + ["train couch"] * 2
    once = ["train eel fox"]
    found = tag_statistics(tagged(*often, *once, *["train"] * 30))
    assert found is not None
    assert [p.first for p in found.pairs] == ["remote", "eel"]
    assert found.pairs[1].lift > found.pairs[0].lift


def test_tags_that_always_occur_together_or_everywhere() -> None:
    found = tag_statistics(tagged("train a b c", "train a b c", "train c"))
    assert found is not None
    # With c, which is everywhere, nothing goes together more often than by chance.
    assert [(p.first, p.second, p.lift) for p in found.pairs] == [("a", "b", 1.5)]


def test_at_most_twenty_pairs_ties_by_name() -> None:
    rows = [f"train a{i:02d} b{i:02d}" for i in range(30)]
    found = tag_statistics(tagged(*rows))
    assert found is not None
    assert [p.first for p in found.pairs] == [f"a{i:02d}" for i in range(20)]


def test_captions_by_hand() -> None:
    found = caption_statistics(
        captioned(("A dog's ball.", "a  DOG’S ball"), ("The sea, a",), ("a-b a a a",))
    )
    assert found is not None
    words = Counter({"a": 6, "dog's": 2, "ball": 2, "the": 1, "sea": 1, "a-b": 1})
    assert (found.captions, found.per_image) == (4, (1, 4 / 3, 2))
    assert found.words == (3, 13 / 4, 4)
    assert found.vocabulary == len(words) == 6
    rare = [n for n in words.values() if n < RARE_BELOW]
    assert (found.rare, found.rare_share) == (5, pytest.approx(5 / 6))
    assert found.rare_text_share == pytest.approx(sum(rare) / sum(words.values()))


def test_captions_without_a_word() -> None:
    found = caption_statistics(captioned(("!",)))
    assert found is not None
    assert (found.vocabulary, found.rare_share, found.rare_text_share) == (0, 0.0, 0.0)


@pytest.mark.parametrize("task", ["classification", "multilabel", "captioning"])
def test_each_task_has_its_own(task: Task) -> None:
    sample = Sample("0", Path("0"), labels=("a",), captions=("a",), split="train")
    catalog = Catalog(Path("x"), "table", task, ("a",), (sample,))
    assert (tag_statistics(catalog) is not None) == (task == "multilabel")
    assert (caption_statistics(catalog) is not None) == (task == "captioning")
    empty = Catalog(Path("x"), "table", task, (), ())
    assert tag_statistics(empty) is caption_statistics(empty) is None
