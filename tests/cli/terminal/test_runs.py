"""What verbs are told of a run, and what they say of its data."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from lookcloser.cli.terminal.runs import (
    columns_again,
    existing,
    known_data,
    scored_split,
    view_names,
)
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.data import Catalog, read_data
from lookcloser.explain import VIEWS


@pytest.mark.parametrize(
    "run", [None, "timm:resnet50", "hub:me/birds", "hub:me/birds@v1", "run", "~/run"]
)
def test_what_may_be_there_is_left_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str | None
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert existing(run) == run


def test_a_run_that_is_not_there_is_an_error_with_the_near_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "birds").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        LookcloserError, match=r"brids: no such run or model\. .*'birds'"
    ) as missing:
        existing("brids")
    assert not isinstance(missing.value, UsageError)
    with pytest.raises(LookcloserError, match="no such run or model"):
        existing("~nobody-of-this-name/run")
    with pytest.raises(UsageError, match="hub:OWNER/NAME"):
        existing("hub:birds")


@pytest.fixture(scope="module")
def catalog(squares: Path) -> Catalog:
    return read_data(squares)


def test_the_test_split_is_taken_without_a_word(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scored_split(catalog, None) == "test"
    assert scored_split(catalog, "val") == "val"
    assert capsys.readouterr().err == ""


def test_another_split_in_its_place_is_said_unless_it_was_asked_for(
    squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = read_data(squares / "val")
    assert scored_split(other, None) == "val"
    assert capsys.readouterr().err == "No split 'test' in the data: taking 'val'\n"
    assert scored_split(other, "val") == "val"
    assert capsys.readouterr().err == ""


def test_columns_are_repeated_only_where_they_were_told() -> None:
    assert columns_again(None) == []
    assert columns_again("image=a b") == ["--columns", "image=a b"]


def test_the_data_of_a_run_is_known_and_that_of_a_file_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("data: /photos/my birds\noptions: {epochs: 3}\n")
    for run in (tmp_path / "run", str(tmp_path / "run"), "~/run"):
        assert known_data(run) == "/photos/my birds"
    for run in (tmp_path / "run" / "model.safetensors", tmp_path, "timm:resnet50"):
        assert known_data(run) == "DATA"


def test_views_are_words_between_commas() -> None:
    assert view_names(" cam ,gradcam,, all,", "--view") == ["cam", "gradcam", "all"]
    with pytest.raises(typer.BadParameter) as none:
        view_names(" ,", "--views")
    assert str(none.value) == f"--views names no view. There are: {', '.join(VIEWS)}"
    with pytest.raises(UsageError, match="gradcan: unknown view"):
        view_names("cam,gradcan", "--view")
