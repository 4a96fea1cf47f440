"""What a page says of its run and data, and where it goes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core.errors import UsageError
from lookcloser.core.results.audit import Audit
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.recognizer import Recognizer, reporting
from lookcloser.recognizer.reporting import page_place
from lookcloser.version import __version__


class TestPlace:
    def test_in_the_run_or_where_it_was_asked_for(
        self, of_run: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        assert of_run.folder is not None
        assert page_place(of_run, None, "x.html") == of_run.folder / "x.html"
        assert page_place(of_run, "a/b.html", "x.html") == Path("a/b.html")
        assert page_place(of_run, "~/b.html", "x.html") == tmp_path / "b.html"

    def test_a_single_file_has_none(self, alone: Recognizer, squares: Path) -> None:
        assert page_place(alone, "b.html", "x.html") == Path("b.html")
        for write, name in ((alone.report, "report"), (alone.audit_report, "audit")):
            with pytest.raises(UsageError, match=f"No place for {name}.html: .*--out {name}.html"):
                write(squares)


class TestHistory:
    def test_the_curves_are_those_of_the_epochs(self, tmp_path: Path) -> None:
        assert reporting._history(None) == reporting._history(tmp_path) == []
        (tmp_path / "metrics.csv").write_text(
            "epoch,train_loss,train_ranking,val_acc,seconds\n1,0.5,9,,3\n2,0.25,9,0.75,3\n"
        )
        assert reporting._history(tmp_path) == [
            {"epoch": 1.0, "train_loss": 0.5},
            {"epoch": 2.0, "train_loss": 0.25, "val_acc": 0.75},
        ]

    @pytest.mark.parametrize(
        "damaged",
        [b"epoch,lr\n1,fast\n", b"\xff\xfe\x00", b"epoch,lr\n" + b"1" * 200_000, b"", b"\x00"],
        ids=["words", "bytes", "long", "empty", "null"],
    )
    def test_a_damaged_file_has_none(self, tmp_path: Path, damaged: bytes) -> None:
        (tmp_path / "metrics.csv").write_bytes(damaged)
        assert reporting._history(tmp_path) == []


class TestAbout:
    def test_what_is_known_is_said_and_nothing_else(
        self, of_run: Recognizer, squares: Path
    ) -> None:
        catalog = read_data(squares)
        about = reporting._about(of_run, catalog)
        assert list(about) == [
            "method", "backbone", "first weights", "seed", "input", "data", "versions", "command"
        ]  # fmt: skip
        assert about["seed"] == "3"
        assert about["data"] == f"{squares} ({catalog.layout})"
        assert about["command"] == "lookcloser train squares"
        assert about["versions"].startswith(f"lookcloser {__version__}, torch ")

    def test_data_of_the_current_folder_have_its_name(
        self, of_run: Recognizer, squares: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(squares)
        catalog = read_data(".")
        assert reporting._about(of_run, catalog)["data"] == f"{squares.name} ({catalog.layout})"

    def test_width_comes_first_as_on_a_screen(self, of_run: Recognizer, squares: Path) -> None:
        wide = replace(of_run.header.preprocessing, size=(24, 48))
        of_run.header = replace(of_run.header, preprocessing=wide)
        about = reporting._about(of_run, read_data(squares))
        assert about["input"] == "48 × 24 px"

    def test_the_recipe_has_its_reasons(self, of_run: Recognizer, squares: Path) -> None:
        said = {"recipe": "closed-form", "why this recipe": "asked for", "zoom": "not tried; x"}
        of_run.header = replace(of_run.header, provenance=said)
        about = reporting._about(of_run, read_data(squares))
        assert (about["recipe"], about["why this recipe"], about["second look"]) == tuple(
            said.values()
        )


def catalog_of(squares: Path, task: Any, *answers: Any) -> Catalog:
    files = [squares / "train" / "red" / f"{number}.png" for number in range(len(answers))]
    kind = "captions" if task == "captioning" else "labels"
    samples = tuple(
        Sample(file.name, file, split="train" if number else "test", **{kind: answer})
        for number, (file, answer) in enumerate(zip(files, answers, strict=True))
    )
    names = () if task == "captioning" else ("a", "b", "c")
    return Catalog(squares, "made up", task, names, samples)


class TestData:
    def test_tags_are_counted_in_each_split_and_in_pairs(self, squares: Path) -> None:
        catalog = catalog_of(squares, "multilabel", ("a", "b"), ("a", "b"), ("a",), ("c",), ())
        found = reporting._audit(catalog)
        assert found["layout"] == "made up"
        assert found["images"] == {"train": {"images": 4}, "test": {"images": 1}}
        assert found["tags"]["a"] == {"images": 3, "train": 2, "test": 1}
        pairs = found["tags that occur together"]
        together = pairs.get("a → b") or pairs["b → a"]
        shares = {round(2 / 3, 3), 1.0}
        assert {together["P(second | first)"], together["P(first | second)"]} == shares
        assert together["lift"] == round(2 / 5 / (3 / 5 * 2 / 5), 2)
        assert "captions" not in found
        json.dumps(found)

    def test_captions_are_described_in_a_sentence(self, squares: Path) -> None:
        catalog = catalog_of(squares, "captioning", ("a bird",), ("a red bird", "a bird sits"))
        said = reporting._audit(catalog)["captions"]
        assert said.startswith("3, 1.5 for an image, ")
        assert "different words" in said

    def test_classes_have_neither(self, squares: Path) -> None:
        found = reporting._audit(read_data(squares))
        assert not {"tags", "tags that occur together", "captions"} & set(found)
        assert found["images"]["test"] == {"images": 18}

    def test_problems_say_how_bad_they_are(self, squares: Path) -> None:
        catalog = catalog_of(squares, "multilabel", ("a",), ("b",))
        gone = Sample("gone.png", squares / "gone.png", ("c",), split="train")
        found = reporting._audit(replace(catalog, samples=(*catalog.samples, gone)))
        assert any(text.split(":")[0] in {"error", "warning"} for text in found["problems"])


@pytest.fixture(scope="module")
def audited(loaded: Recognizer, squares: Path) -> Audit:
    return loaded.audit(squares, "train", per_class=8)


class TestPages:
    def test_an_audit_that_was_made_is_not_made_again(
        self,
        of_run: Recognizer,
        squares: Path,
        audited: Audit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(Recognizer, "audit", None)
        page, _ = of_run.report(squares, audited=audited)
        assert of_run.folder is not None
        assert page == of_run.folder / "report.html"
        assert "lookcloser train squares" in page.read_text(encoding="utf-8")

    def test_an_audit_page_is_called_by_its_data_and_question(
        self,
        of_run: Recognizer,
        squares: Path,
        audited: Audit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked: list[Any] = []

        def audit(_self: Recognizer, _data: Catalog, split: str, **how: Any) -> Audit:
            asked.append((split, how))
            return audited

        monkeypatch.setattr(Recognizer, "audit", audit)
        monkeypatch.chdir(squares)
        page, found = of_run.audit_report(".", "val", per_class=9)
        assert asked == [("val", {"per_class": 9})]
        assert found is audited
        assert of_run.folder is not None
        assert page == of_run.folder / "audit.html"
        text = page.read_text(encoding="utf-8")
        assert f"<title>{squares.name}: is cam right for the right reasons?" in text
        assert "lookcloser train squares" not in text, "the command made the model, not the audit"
