"""The model card: a head that YAML reads, text that obeys nothing in names."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard

from lookcloser.core.calibration import Calibration
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.results.scores import Score
from lookcloser.hub.card import CardFacts, escaped, model_card

HEADER = ModelHeader(
    "cam",
    {"backbone": "resnet18"},
    "classification",
    ("American_Goldfinch", "Blue jay"),
    Preprocessing((96, 128)),
    calibration=Calibration(1.5, 80),
    provenance={"seed": 3, "weights": "/home/me/secret folder/first.safetensors"},
)
FACTS = CardFacts(
    "me/birds",
    license="apache-2.0",
    summary="the baseline with maps",
    data="birds",
    images={"train": 1500, "test": 1452},
    split="test",
    scores=(
        Score("top1", 0.8671, (0.85, 0.88), higher_is_better=True),
        Score("MaxBoxAcc@0.5", 0.41, None, {"center box": 0.3}, higher_is_better=True),
    ),
    image="evidence.png",
)
EVIL = (
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/a.png)",
    "a | b\n---\nlicense: mit\n---",
    "`code` *bold* _x_ ~~no~~ # title",
    "\x1b[31mred\u202e",
    "{{ 7*7 }} $x$ @someone https://evil.example www.evil.example",
    "&lt;b&gt;",
)


def body(card: str) -> str:
    return card.split("---\n", 2)[2]


def test_the_head_is_what_the_hub_reads() -> None:
    card = ModelCard(model_card(HEADER, FACTS))
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "lookcloser"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.tags == ["lookcloser", "cam", "resnet18"]
    assert card.data.model_name == "birds"
    first, second = card.data.eval_results
    assert (first.metric_type, first.metric_value, first.dataset_split) == (
        "accuracy",
        0.8671,
        "test",
    )
    assert (first.dataset_name, second.metric_name) == ("birds", "MaxBoxAcc@0.5")


def test_the_text_says_what_the_run_knows() -> None:
    card = model_card(HEADER, FACTS)
    for words in (
        "one class of 2 labels",
        "cam (the baseline with maps)",
        "![An image, and where the model looked](evidence.png)",
        'lookcloser.load("hub:me/birds")',
        "On test of birds",
        "| top1 | 0.8671 | 0.8500 … 0.8800 |  |",
        "center box 0.3000",
        "Data: birds (1,500 train, 1,452 test images)",
        "resized to 128 × 96 px",
        "calibrated on 80 images (temperature 1.5)",
        "American_Goldfinch, Blue jay",
        "Seed: 3",
        "first&#46;safetensors",
    ):
        assert words in card, words
    assert "secret folder" not in card
    assert "home" not in card


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"license": "unknown"}, "named no license"),
        ({"remembered": 4096}, "features of 4,096 training images"),
        ({"data": "", "split": "", "image": None}, "left out of the training"),
    ],
)
def test_what_is_missing_is_said(change: dict[str, object], words: str) -> None:
    card = model_card(HEADER, replace(FACTS, **change))
    assert words in card
    assert words not in model_card(HEADER, FACTS)
    assert ("](evidence" in card) == (change.get("image", "") is not None)


def test_a_model_without_anything_known_has_a_card_too() -> None:
    header = replace(HEADER, task="captioning", arguments={}, calibration=Calibration())
    card = model_card(header, CardFacts("me/words"))
    assert "## Scores" not in card
    assert "a sentence about an image, of 2 words" in card
    assert ModelCard(card).data.pipeline_tag == "image-to-text"
    assert ModelCard(card).data.license == "unknown"


def test_nothing_in_a_name_is_obeyed() -> None:
    header = replace(HEADER, names=EVIL, arguments={"backbone": EVIL[0]}, method=EVIL[1])
    facts = replace(
        FACTS,
        data=EVIL[3],
        images={EVIL[4]: 1},
        split=EVIL[5],
        summary=EVIL[6],
        scores=(Score(EVIL[2], 0.5, None, {EVIL[0]: 0.1}, higher_is_better=True),),
    )
    card = model_card(header, facts)
    text = body(card)
    for sign in ("<", "[click", "[x]", "~", "@", "{", "$", "\x1b", "\u202e", "evil.", "&lt;", "`c"):
        assert sign not in text, sign
    assert len(re.findall(r"^---$", card, re.MULTILINE)) == 2
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] == "apache-2.0"
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [5, 5, 5]
    assert ModelCard(card).data.eval_results[0].dataset_name is not None


@pytest.mark.parametrize("text", [*EVIL, "plain", "Ünïcode ☃ 鳥", "a-b_c", "-list", "_em_", "1. x"])
def test_escaped_text_shows_as_it_is(text: str) -> None:
    """A reader of HTML sees the printable form again, and no sign was left to obey."""
    from html import unescape

    from lookcloser.core.wording import printable

    found = escaped(text)
    assert unescape(found) == printable(text)
    assert "\n" not in found
    # Within a word - and _ mean nothing to Markdown.
    assert not re.search(
        r"[*<>\[\]`|\\!@:./~${}()\"']|(?<![A-Za-z0-9])[-_]|[-_](?![A-Za-z0-9])", found
    )


def test_many_names_are_counted() -> None:
    names = tuple(f"class {number}" for number in range(1000))
    assert "class 99 and 900 more" in model_card(replace(HEADER, names=names), FACTS)
