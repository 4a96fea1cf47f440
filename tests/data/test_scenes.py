import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.data.scenes import canvas, kinds, masks, write_scenes
from lookcloser.data.scenes.canvas import Glyph, Style, compose

FEW = {"train": 20, "val": 10, "test": 10}
STYLE = Style(size=96, digit_size=(34, 46), clutter=(2, 5), contrast=(0.25, 0.6))


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def scenes(kind: kinds.Kind, count: int, style: Style = STYLE) -> Iterator[kinds.Scene]:
    for index in range(count):
        yield kinds.KINDS[kind](index, "test", style, np.random.default_rng([7, index]))


def digit(number: int = 3, height: int = 40) -> NDArray[np.float32]:
    return masks.digit_mask(masks.handwritten("train")[number][0], height)


class TestFiles:
    def test_single_is_class_folders_with_a_table_of_boxes(self, tmp_path: Path) -> None:
        folder = write_scenes(tmp_path / "new" / "scenes", **FEW)
        table = rows(folder / "boxes.csv")
        assert list(table[0]) == ["image", "label", "split", "x0", "y0", "x1", "y1"]
        assert Counter(row["split"] for row in table) == FEW
        assert {row["image"] for row in table} == {n for n in files(folder) if n.endswith(".png")}
        for number, row in enumerate(table[:20]):
            assert row["image"] == f"train/{number % 10}/{number:05d}.png"
            assert row["label"] == str(number % 10)
            with Image.open(folder / row["image"]) as image:
                assert (image.mode, image.size) == ("RGB", (96, 96))

    def test_the_readers_understand_single(self, tmp_path: Path) -> None:
        folder = write_scenes(tmp_path / "scenes", **FEW)
        catalog = read_data(folder)
        assert catalog.task == "classification"
        assert catalog.names == tuple("0123456789")
        assert Counter(sample.split for sample in catalog.samples) == FEW
        boxes = {
            r["image"]: tuple(float(r[k]) for k in ("x0", "y0", "x1", "y1"))
            for r in rows(folder / "boxes.csv")
        }
        for sample in catalog.samples:
            assert sample.boxes == ((sample.labels[0], boxes[sample.name]),)

    def test_the_readers_understand_tags(self, tmp_path: Path) -> None:
        catalog = read_data(write_scenes(tmp_path / "scenes", "tags", **FEW))
        assert catalog.task == "multilabel"
        assert Counter(sample.split for sample in catalog.samples) == FEW
        for sample in catalog.samples:
            assert 2 <= len(sample.labels) <= 4
            assert tuple(label for label, _ in sample.boxes) == sample.labels

    def test_the_readers_understand_captions(self, tmp_path: Path) -> None:
        folder = write_scenes(tmp_path / "scenes", "captions", **FEW)
        catalog = read_data(folder)
        assert catalog.task == "captioning"
        assert Counter(sample.split for sample in catalog.samples) == FEW
        places: dict[str, list[tuple[str, masks.Box]]] = {}
        for row in rows(folder / "boxes.csv"):
            x0, y0, x1, y1 = (int(row[k]) for k in ("x0", "y0", "x1", "y1"))
            places.setdefault(row["image"], []).append((row["word"], (x0, y0, x1, y1)))
        for sample in catalog.samples:
            words = [word for word, _ in sample.boxes]
            assert list(sample.boxes) == places[sample.name]
            assert len(sample.captions) == len(words)
            for caption, order in zip(sample.captions, (words, words[::-1]), strict=False):
                assert [word for word in caption.split() if word in kinds.WORDS] == order

    def test_large_sources_as_jpeg(self, tmp_path: Path) -> None:
        folder = write_scenes(
            tmp_path / "scenes", train=2, val=0, test=0,
            size=448, digit_size=(24, 40), clutter=(20, 30), suffix=".jpg",
        )  # fmt: skip
        table = rows(folder / "boxes.csv")
        assert [row["image"] for row in table] == ["train/0/00000.jpg", "train/1/00001.jpg"]
        for row in table:
            with Image.open(folder / row["image"]) as image:
                assert (image.format, image.size) == ("JPEG", (448, 448))
            assert 20 <= int(row["y1"]) - int(row["y0"]) <= 50

    def test_progress_counts_every_scene(self, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []
        write_scenes(tmp_path / "s", train=3, val=1, test=2, progress=lambda *c: calls.append(c))
        assert calls == [(done, 6) for done in range(1, 7)]

    def test_a_cut_off_run_leaves_nothing(self, tmp_path: Path) -> None:
        def stop(done: int, total: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_scenes(tmp_path / "scenes", **FEW, progress=stop)
        assert list(tmp_path.iterdir()) == []

    def test_the_same_scenes_are_kept(self, tmp_path: Path) -> None:
        (tmp_path / "scenes").mkdir()
        write_scenes(tmp_path / "scenes", **FEW)
        before = files(tmp_path / "scenes")
        calls: list[tuple[int, int]] = []
        write_scenes(tmp_path / "scenes", **FEW, progress=lambda *c: calls.append(c))
        assert calls == []
        with pytest.raises(LookcloserError, match="something else"):
            write_scenes(tmp_path / "scenes", **FEW, seed=1)
        assert files(tmp_path / "scenes") == before

    def test_a_file_in_the_way_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "scenes").write_text("mine", encoding="utf-8")
        with pytest.raises(LookcloserError, match="something else"):
            write_scenes(tmp_path / "scenes", **FEW)
        with pytest.raises(LookcloserError, match="could not be written"):
            write_scenes(tmp_path / "scenes" / "below", **FEW)
        assert (tmp_path / "scenes").read_text(encoding="utf-8") == "mine"


class TestDeterminism:
    @pytest.mark.parametrize("kind", list(kinds.KINDS))
    def test_same_arguments_same_bytes(self, kind: kinds.Kind, tmp_path: Path) -> None:
        first = files(write_scenes(tmp_path / "a", kind, **FEW))
        again = files(write_scenes(tmp_path / "b", kind, **FEW))
        other = files(write_scenes(tmp_path / "c", kind, **FEW, seed=1))
        assert first == again
        pictures = [name for name in first if name in other and name.endswith(".png")]
        assert all(first[name] != other[name] for name in pictures)

    def test_a_scene_does_not_depend_on_their_number(self, tmp_path: Path) -> None:
        few = files(write_scenes(tmp_path / "few", **FEW))
        fewer = files(write_scenes(tmp_path / "fewer", train=3, val=2, test=1))
        pictures = [name for name in fewer if name.endswith(".png")]
        assert len(pictures) == 6
        assert all(fewer[name] == few[name] for name in pictures)

    def test_no_scene_comes_twice(self, tmp_path: Path) -> None:
        pictures = [c for n, c in files(write_scenes(tmp_path / "s", **FEW)).items() if "png" in n]
        assert len(set(pictures)) == 40


class TestSplits:
    def test_splits_share_no_handwritten_sample(self) -> None:
        source = load_digits()
        expected = Counter(
            (int(label), (image / 16).astype(np.float32).tobytes())
            for image, label in zip(source.images, source.target, strict=True)
        )
        parts = {
            split: Counter(
                (label, sample.tobytes())
                for label, pool in enumerate(masks.handwritten(split))
                for sample in pool
            )
            for split in masks.SHARES
        }
        assert parts["train"] + parts["val"] + parts["test"] == expected
        assert not parts["train"].keys() & parts["test"].keys()
        assert not parts["val"].keys() & (parts["train"].keys() | parts["test"].keys())

    def test_every_class_is_split_alike(self) -> None:
        for label in range(10):
            sizes = {split: len(masks.handwritten(split)[label]) for split in masks.SHARES}
            for split, share in masks.SHARES.items():
                assert abs(sizes[split] - share * sum(sizes.values())) <= 1

    @pytest.mark.parametrize("kind", list(kinds.KINDS))
    def test_a_scene_uses_its_own_split_alone(
        self, kind: kinds.Kind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: set[str] = set()

        def spy(split: str) -> tuple[masks.Mask, ...]:
            asked.add(split)
            return masks.handwritten(split)

        monkeypatch.setattr(canvas, "handwritten", spy)
        monkeypatch.setattr(kinds, "handwritten", spy)
        list(scenes(kind, 5))
        assert asked == {"test"}


class TestBoxes:
    @pytest.mark.parametrize("clutter", [(0, 0), (30, 30)])
    def test_boxes_are_tight_around_visible_ink(self, clutter: tuple[int, int]) -> None:
        # The same scene with black and with white digits differs by their opacity alone.
        style = Style(128, (30, 40), clutter, (0.2, 0.5))
        for seed in range(10):
            drawn = [
                compose(
                    [Glyph(digit(n, 36), color=np.full(3, level)) for n in (3, 8)],
                    style, "train", np.random.default_rng(seed),
                )
                for level in (0.0, 1.0)
            ]  # fmt: skip
            (black, boxes), (white, same) = drawn
            assert boxes == same
            opacity = (white.astype(int) - black).min(axis=-1) / 255
            for x0, y0, x1, y1 in boxes:
                seen = opacity[y0:y1, x0:x1] >= masks.VISIBLE - 0.01
                assert seen[0].any()
                assert seen[-1].any()
                assert seen[:, 0].any()
                assert seen[:, -1].any()
                opacity[y0:y1, x0:x1] = 0
            assert opacity.max() < masks.VISIBLE + 0.01

    def test_visible_box_of_a_known_mask(self) -> None:
        mask = np.zeros((6, 8), np.float32)
        mask[2:4, 3:7] = 1.0
        mask[1, 0] = 0.29
        assert masks.visible_box(mask) == (3, 2, 7, 4)

    def test_digits_have_the_height_asked_for(self) -> None:
        for label in range(10):
            for sample in masks.handwritten("train")[label][:20]:
                _, top, _, bottom = masks.visible_box(masks.digit_mask(sample, 40))
                assert 34 <= bottom - top <= 46

    def test_boxes_are_inside_and_apart(self) -> None:
        for scene in scenes("tags", 40, Style(96, (21, 29), (2, 5), (0.25, 0.6))):
            taken = np.zeros((96, 96), int)
            for x0, y0, x1, y1 in scene.boxes:
                assert 0 <= x0 < x1 <= 96
                assert 0 <= y0 < y1 <= 96
                taken[y0:y1, x0:x1] += 1
            assert taken.max() == 1

    def test_places_are_everywhere(self) -> None:
        boxes = np.array([scene.boxes[0] for scene in scenes("single", 300)])
        assert boxes[:, :2].min() == 0
        assert boxes[:, 2:].max() == 96
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        np.testing.assert_allclose(centers.mean(axis=0), 48, atol=3)


class TestComposition:
    def test_clutter_leaves_the_digit_free(self) -> None:
        # One piece of clutter more, everything else the same: little of the digit's box changes.
        shares = []
        for seed in range(200):
            pictures = []
            for count in (0, 1):
                style = Style(96, (34, 46), (count, count), (0.5, 0.5))
                glyph = Glyph(digit(), color=np.ones(3))
                picture, boxes = compose([glyph], style, "train", np.random.default_rng(seed))
                pictures.append(picture.astype(int))
            x0, y0, x1, y1 = boxes[0]
            changed = np.abs(pictures[1] - pictures[0]).max(axis=-1) > 40
            shares.append(changed[y0:y1, x0:x1].mean())
        assert max(shares) < 0.2
        assert max(shares) > 0.0

    def test_contrast_is_what_it_says(self) -> None:
        style = Style(96, (40, 40), (0, 0), (0.3, 0.3))
        full = np.ones((20, 20), np.float32)
        for seed in range(10):
            with_glyph, boxes = compose([Glyph(full, 0.3)], style, "train", _seeded(seed))
            without, _ = compose([Glyph(full, 0.0)], style, "train", _seeded(seed))
            x0, y0, x1, y1 = boxes[0]
            area = (slice(y0, y1), slice(x0, x1))
            gain = (with_glyph[area].astype(float) - without[area]).mean() / 255
            # Less only where a channel reaches full brightness.
            assert 0.2 < gain <= 0.31

    def test_saturation_zero_is_gray(self) -> None:
        style = Style(64, (30, 30), (0, 0), (0.3, 0.3))
        glyph = Glyph(digit(height=30), color=np.ones(3))
        picture, _ = compose([glyph], style, "train", _seeded(0), saturation=0.0)
        assert np.ptp(picture, axis=-1).max() <= 1
        colored, _ = compose([glyph], style, "train", _seeded(0))
        assert np.ptp(colored, axis=-1).max() > 30

    def test_fragments_are_half_as_tall_as_digits(self) -> None:
        sample = masks.handwritten("train")[0][0]
        for seed in range(20):
            mask = masks.fragment_mask(sample, 40, _seeded(seed))
            visible = np.argwhere(mask >= masks.VISIBLE)
            if len(visible):
                height, width = np.ptp(visible, axis=0) + 1
                assert max(height, width) <= 20 * 1.42

    @pytest.mark.parametrize("height", [8, 40])
    def test_masks_are_opacities(self, height: int) -> None:
        drawn = [
            digit(height=height),
            masks.fragment_mask(masks.handwritten("train")[8][0], height, _seeded(0)),
            masks.stroke_mask(height, _seeded(0)),
            masks.blob_mask(height, _seeded(0)),
        ]
        for mask in drawn:
            assert mask.dtype == np.float32
            assert mask.min() >= 0.0
            assert 0.5 < mask.max() <= 1.0


class TestTags:
    STYLE = Style(96, (21, 29), (0, 0), (0.3, 0.5))

    def test_leaders_bring_the_follower_of_their_sum(self) -> None:
        for scene in scenes("tags", 200, self.STYLE):
            *leaders, follower = map(int, scene.labels)
            assert len(leaders) in (1, 2)
            assert set(leaders) < set(range(5))
            total = sum(leaders) if len(leaders) == 2 else 2 * leaders[0]
            assert follower == 5 + total % 5

    def test_a_leader_by_itself_says_nothing_about_the_follower(self) -> None:
        seen = [tuple(map(int, scene.labels)) for scene in scenes("tags", 2000, self.STYLE)]
        for leader in range(5):
            counts = Counter(labels[-1] for labels in seen if leader in labels)
            shares = np.array([counts[digit] for digit in range(5, 10)]) / counts.total()
            # Alone it is half as frequent as with a given partner.
            assert shares.min() > 0.07
            assert shares.max() < 0.28

    def test_no_sum_over_leaders_tells_the_follower(self) -> None:
        # Two pairs bring a follower, the same four digits paired otherwise bring others: a sum of
        # weights that is high for both of the first is high for one of the second too.
        for digit in range(5, 10):
            pairs = [{a, b} for a in range(5) for b in range(a) if kinds.follower({a, b}) == digit]
            assert len(pairs) == 2
            assert not pairs[0] & pairs[1]
            (a, b), (c, d) = pairs
            assert kinds.follower({a, c}) != digit
            assert kinds.follower({b, d}) != digit

    def test_half_of_the_followers_are_hardly_visible(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Glyph] = []

        def spy(glyphs: list[Glyph], *args: Any, **options: Any) -> Any:
            seen.extend(glyphs)
            return compose(glyphs, *args, **options)

        monkeypatch.setattr(kinds, "compose", spy)
        labels = [int(label) for scene in scenes("tags", 300, self.STYLE) for label in scene.labels]
        faint = np.array([glyph.contrast < 0.1 for glyph in seen])
        follows = np.array(labels) >= 5
        assert not faint[~follows].any()
        assert 0.4 < faint[follows].mean() < 0.6
        assert all(glyph.contrast < 0.08 or glyph.contrast >= 0.3 for glyph in seen)


class TestCaptions:
    STYLE = Style(96, (19, 40), (0, 3), (0.25, 0.6))

    def test_every_attribute_is_true_of_the_image(self) -> None:
        for scene in scenes("captions", 100, self.STYLE):
            phrases = _phrases(scene.captions[0])
            assert [phrase[2] for phrase in phrases] == list(scene.labels)
            assert [_phrases(caption) for caption in scene.captions[1:]] == (
                [phrases[::-1]] if len(phrases) == 2 else []
            )
            for (size, color, _), (x0, y0, x1, y1) in zip(phrases, scene.boxes, strict=True):
                assert (size == "small") == (y1 - y0 < 30)
                area = scene.pixels[y0:y1, x0:x1].reshape(-1, 3) / 255
                error = np.abs(area - np.array(kinds.COLORS[color])).max(axis=1)
                assert (error < 0.01).mean() > 0.1

    def test_the_relation_is_true_of_the_boxes(self) -> None:
        seen = set()
        for scene in scenes("captions", 100, self.STYLE):
            if len(scene.boxes) == 2:
                dx, dy = (
                    (scene.boxes[1][i] + scene.boxes[1][i + 2])
                    - (scene.boxes[0][i] + scene.boxes[0][i + 2])
                    for i in (0, 1)
                )
                for caption, sign in zip(scene.captions, (1, -1), strict=True):
                    across = ("left of", "right of")[sign * dx < 0]
                    down = ("above", "below")[sign * dy < 0]
                    expected = across if f" {across} " in caption else down
                    assert f" {expected} " in caption
                    seen.add(expected)
        assert seen == {"left of", "right of", "above", "below"}

    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            ((0, 0, 10, 10), (20, 5, 30, 15), "left of"),
            ((20, 5, 30, 15), (0, 0, 10, 10), "right of"),
            ((0, 0, 10, 10), (5, 20, 15, 30), "above"),
            ((5, 20, 15, 30), (0, 0, 10, 10), "below"),
            ((0, 0, 10, 10), (20, 20, 30, 30), None),
            ((0, 0, 10, 10), (5, 5, 15, 15), None),
        ],
    )
    def test_relation(self, first: masks.Box, second: masks.Box, expected: str | None) -> None:
        assert kinds.relation([first, second]) == expected

    def test_words_are_balanced(self) -> None:
        drawn = list(scenes("captions", 200, self.STYLE))
        assert Counter(len(scene.boxes) for scene in drawn) == {1: 100, 2: 100}
        counts = Counter(label for scene in drawn for label in scene.labels)
        assert set(counts) == set(kinds.WORDS)
        assert min(counts.values()) > 10


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"kind": "singel"}, "singel: unknown kind of scenes. Close: single"),
            ({"suffix": ".gif"}, ".gif: unknown format of scenes"),
            ({"digit_size": (40, 30)}, "digit_size 40 to 30: not a range"),
            ({"digit_size": (4, 30)}, "from 8 to 96"),
            ({"digit_size": (30, 97)}, "from 8 to 96"),
            ({"clutter": (-1, 3)}, "clutter -1 to 3: not a range"),
            ({"contrast": (0.2, 1.5)}, "from 0.0 to 1.0"),
            ({"train": -1}, "0 or more"),
            ({"seed": -1}, "0 or more"),
            ({"digit_size": (96, 96)}, "find no place in 96 x 96 pixels"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], message: str, tmp_path: Path) -> None:
        with pytest.raises(LookcloserError) as error:
            write_scenes(tmp_path / "scenes", **{**FEW, **options})
        assert message in str(error.value)
        assert list(tmp_path.iterdir()) == []


def _seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _phrases(caption: str) -> list[list[str]]:
    """Size, color and word of each digit named in a caption."""
    return [part.split()[:3] for part in caption.removeprefix("a ").split(" a ")]
