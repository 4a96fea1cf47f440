import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lookcloser.cli.data import app

from .conftest import Program

Check = Callable[..., str]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """What ``data check`` prints on stdout."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["check", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.stdout

    return run


def table(root: Path, header: str, *rows: str) -> Path:
    """A table of images 0.png, 1.png, … from the cells beside them."""
    for i in range(len(rows)):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(root / f"{i}.png")
    lines = (f"{i}.png,{row}" for i, row in enumerate(rows))
    (root / "t.csv").write_text("\n".join([f"image,{header}", *lines]))
    return root


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with ``first``."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    (row,) = (row for row in rows if row and row[0] == first)
    return row


def test_tags(check: Check, tmp_path: Path) -> None:
    rows = ("train,cat;dog", "train,cat;dog", "train,dog", "train,", "val,cat", "test,")
    shown = check(table(tmp_path, "split,labels", *rows))
    assert f"{tmp_path}: table, multilabel, 2 tags" in shown
    assert cells(shown, "train") == ["train", "4", "1"]
    assert cells(shown, "test") == ["test", "1", "1"]
    assert "Tags of an image: 0 to 2, 1.0 on average" in shown
    listed = shown.partition("on average")[2].partition("occur together")[0]
    assert cells(listed, "cat") == ["cat", "3", "2", "1", "0"]
    assert cells(listed, "dog") == ["dog", "3", "3", "0", "0"]
    assert [line for line in shown.splitlines() if "2 images without tags" in line] == [
        "note: 2 images without tags: taken as showing none of them."
    ]


def test_tags_that_occur_together(check: Check, tmp_path: Path) -> None:
    rows = ("train,sofa;remote", "train,sofa;remote", "train,sofa", "train,car", "val,car")
    shown = check(table(tmp_path, "split,labels", *rows))
    heading = "Tags that occur together"
    assert heading in shown
    pairs = shown.partition(heading)[2]
    # 2 of 5 images have both; sofa 3/5, remote 2/5: lift (2/5) / (3/5 · 2/5) = 5/3.
    assert cells(pairs, "remote") == ["remote", "sofa", "2", "100%", "67%", "1.7"]


def test_of_many_tags_the_most_frequent_are_shown(check: Check, tmp_path: Path) -> None:
    rows = [f"train,{';'.join(f't{j:02d}' for j in range(i + 1))}" for i in range(25)]
    shown = check(table(tmp_path, "split,labels", *rows, "val,t00", "test,t00"))
    assert "Tags, the 20 most frequent of 25" in shown
    listed = shown.partition("most frequent")[2].partition("occur together")[0]
    assert cells(listed, "t00") == ["t00", "27", "25", "1", "1"]
    assert "t19" in listed
    assert "t20" not in listed


def test_captions(check: Check, tmp_path: Path) -> None:
    shown = check(table(tmp_path, "caption", *["a dog"] * 5, "the blue sea"))
    assert f"{tmp_path}: table, captioning\n" in shown
    assert "Tags" not in shown
    assert cells(shown, "number") == ["number", "6"]
    assert cells(shown, "words of a caption") == ["words of a caption", "2 … 2.2 … 3"]
    assert cells(shown, "different words")[1] == "5"
    assert cells(shown, "of these, fewer than 5 times")[1] == "3 (60%)"
    assert cells(shown, "share of the text these make up")[1] == "23.1%"


def test_classes_have_no_table_of_tags(check: Check, tmp_path: Path) -> None:
    shown = check(table(tmp_path, "label", *["a", "b"] * 10))
    assert f"{tmp_path}: table, classification, 2 classes" in shown
    assert cells(shown, "train") == ["train", "14"]
    assert "Tags" not in shown
    assert "Captions" not in shown


def test_what_stops_training_ends_with_one(check: Check, tmp_path: Path) -> None:
    shown = check(table(tmp_path, "split,labels", "train,", "train,"), code=1)
    assert "error: " in shown
    assert "none of 2 training images has a tag" in shown


def test_an_image_that_cannot_be_read_ends_with_three(check: Check, tmp_path: Path) -> None:
    where = table(tmp_path, "label", *["a", "b"] * 10)
    next(tmp_path.rglob("*.png")).write_bytes(b"no image")
    assert "broken: " in check(where, code=3)


def test_json_holds_the_statistics(check: Check, tmp_path: Path) -> None:
    found = json.loads(check(table(tmp_path, "caption", "a dog", "a cat"), "--json"))
    assert found["captions"]["vocabulary"] == 3
    assert found["tags"] is None


def test_groups_stand_beside_their_classes(check: Check, tmp_path: Path) -> None:
    for name in ("cats/lion", "cats/lynx", "dogs/wolf\x1b[1m"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(12):
            color = (len(name), number * 20, 7 * number)
            Image.new("RGB", (4, 4), color).save(tmp_path / name / f"{number}.png")
    shown = check(tmp_path)
    heads = next(line for line in shown.splitlines() if "┃ class" in line)
    assert heads.split("┃")[-2].strip() == "group"
    assert cells(shown, "lion")[-1] == "cats"
    assert cells(shown, "wolf\\x1b[1m")[-1] == "dogs"
    assert "\x1b" not in shown


def test_of_very_many_classes_the_first_are_shown(check: Check, tmp_path: Path) -> None:
    shown = check(table(tmp_path, "label", *(f"c{i % 101:03d}" for i in range(202))), "--no-decode")
    assert "Classes, the first 100 of 101" in shown
    assert cells(shown, "c099")[0] == "c099"
    assert "c100" not in shown.partition("Classes")[2].partition("\n\n")[0]


def test_rows_without_their_image_are_listed_and_left_out_next(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = table(tmp_path, "label", *["a", "b"] * 10)
    with (tmp_path / "t.csv").open("a") as file:
        file.write("\ngone\x1b[1m.png,a\n")
    shown = check(where, code=3)
    assert [line for line in shown.splitlines() if line.startswith("missing: gone\\x1b[1m.png: ")]
    said = CliRunner().invoke(app, ["check", str(where), "--columns", "image=image,label=label"])
    assert said.exit_code == 3
    assert said.stderr.splitlines()[-1] == (
        f"Next: lookcloser train {where} --columns image=image,label=label --skip-missing"
    )


def test_captions_in_plain_signs_where_there_are_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    where = table(tmp_path, "caption", *["a dog"] * 5, "the blue sea")
    done = CliRunner(charset="ascii").invoke(app, ["check", str(where)])
    assert done.exit_code == 0, "stdout is strict here"
    assert cells(done.stdout.replace("|", "│"), "words of a caption")[1] == "2 to 2.2 to 3"


def test_a_problem_that_is_none_is_said_on_stdout(check: Check, tmp_path: Path) -> None:
    where = table(tmp_path, "label", *["a", "b"] * 10)
    for number in range(20):
        noise = Image.effect_noise((16, 16), 100 + number)
        noise.save(tmp_path / f"{number}.png")
    assert check(where).splitlines()[-1] == "No problems found."


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere", "--out", "s"], 1, "nowhere: no such file or folder"),
        (["squares", "--out", "squares"], 1, "squares: exists already and is not empty"),
        (["squares"], 2, "--out"),
        (["squares", "--out", "s", "--per-shard", "0"], 2, "--per-shard"),
        (["squares", "--out", "s", "--columns", "x"], 2, "x: not columns of a table"),
    ],
)
def test_shards_that_cannot_be_written(
    program: Program, squares: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "squares").symlink_to(squares)
    done = program("data", "shard", *words)
    assert (done.code, done.out) == (code, "")
    assert said in done.said
    assert [path.name for path in Path().iterdir()] == ["squares"]


def test_shards_name_their_folder_and_what_comes_next(program: Program, squares: Path) -> None:
    done = program("data", "shard", squares, "--out", "my shards", "--per-shard", "30")
    assert (done.code, done.out) == (0, "my shards\n")
    assert "78 images in 3 shards, " in done.err
    assert done.next == "lookcloser train 'my shards'"
    size = sum(path.stat().st_size for path in Path("my shards").glob("*.tar"))
    assert f"{size:,} bytes" in done.err
