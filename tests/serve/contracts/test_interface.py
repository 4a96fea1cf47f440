"""The labeling interface of a project: what of it is filled in, and with which words."""

from pathlib import Path

import pytest

from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Label, Prediction, Region
from lookcloser.serve.contracts.interface import Control, Interface, read_interface
from lookcloser.serve.http.problems import Problem

BOXES = "<RectangleLabels name='box' toName='img'><Label value='ant'/></RectangleLabels>"


def view(*tags, image="<Image name='img' value='$photo'/>"):
    return f"<View>{image}{''.join(tags)}</View>"


def answer(task="classification", labels=(), regions=(), caption=None, size=(200, 100)):
    return Prediction(
        task, tuple(labels), tuple(regions), ImageSize(*size), Path("a.png"), caption=caption
    )


def found(*labels, kind="map", box=(20.0, 10.0, 120.0, 60.0)):
    return [Region(kind, name, score, box, None) for name, score in labels]


def test_without_an_interface_it_is_the_one_that_annotate_writes():
    for text in (None, "", " \n"):
        assert read_interface(text) == Interface("image", "image", (Control(*BOX_OF_ANNOTATE),))


BOX_OF_ANNOTATE = ("RectangleLabels", "label")


@pytest.mark.parametrize(
    ("tags", "controls"),
    [
        ([BOXES], [Control("RectangleLabels", "box", {"ant": "ant"})]),
        (
            ["<Choices name='c' toName='img'><Choice value='a' alias='A'/><Choice value='b'/>"
             "</Choices>"],
            [Control("Choices", "c", {"a": "A", "b": "b"})],
        ),
        (["<Choices name='c' toName='img' value='$own'/>"], [Control("Choices", "c", None)]),
        (["<TextArea name='t' toName='img'/>"], [Control("TextArea", "t", None)]),
        (
            ["<TextArea name='t' toName='text,img'/>", "<View><View>", BOXES, "</View></View>"],
            [Control("TextArea", "t"), Control("RectangleLabels", "box", {"ant": "ant"})],
        ),
        (
            ["<TextArea name='t' toName='img'/>", "<TextArea name='u' toName='image'/>",
             "<Brush name='b' toName='img'/>"],
            [Control("TextArea", "t")],
        ),
    ],
    ids=["boxes", "aliases", "choices of each task", "text", "nested", "of other images"],
)  # fmt: skip
def test_what_takes_answers_about_the_image(tags, controls):
    text = f"<?xml version='1.0' encoding='utf-16'?><!-- ours -->\n{view(*tags)}"
    assert read_interface(text) == Interface("img", "photo", tuple(controls))


def test_of_several_images_the_first_is_answered():
    text = view(BOXES, image="<Image name='img' value='$one'/><Image name='b' value='$two'/>")
    assert read_interface(text).field == "one"
    nameless = view("<TextArea name='t' toName='image'/>", image="<Image/>")
    assert (read_interface(nameless).image, read_interface(nameless).field) == ("image", "image")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (view(BOXES, image=""), "has no Image"),
        (view("<Brush name='b' toName='img'/>"), "none of RectangleLabels, Choices, TextArea"),
        (view(BOXES.replace("toName='img'", "")), "none of RectangleLabels"),
        (view(BOXES)[:-1], "is not XML"),
        ("\0", "is not XML"),
        ("<a>" * 9000, "is not XML"),
        (f"<!DOCTYPE View>{view(BOXES)}", "declares entities or a document type"),
        (f"<!<!--DOCTYPE View>{view(BOXES)}", "declares entities or a document type"),
    ],
)
def test_what_cannot_be_filled_in_is_said(text, said):
    with pytest.raises(Problem) as told:
        read_interface(text)
    assert told.value.status_code == 422
    assert said in told.value.detail


def results(prediction, *controls):
    return Interface("img", "photo", controls).results(prediction)


def test_boxes_are_percent_and_only_of_maps_and_steps():
    control = Control("RectangleLabels", "box", {"ant": "Ant", "bee": "bee"})
    regions = [
        *found(("ant", 0.9)),
        *found(("bee", 0.4), kind="step", box=(0.0, 0.0, 200.0, 100.0)),
        *found(("wasp", 0.8)),
        *found(("ant", 0.7), kind="part"),
        *found(("ant", 0.7), kind="scale"),
        *found(("ant", 0.7), kind="word"),
        *found(("ant", 0.7), box=None),
    ]
    ant, bee = results(answer(regions=regions), control)
    place = {name: ant["value"].pop(name) for name in ("x", "y", "width", "height")}
    assert place == {"x": 10.0, "y": 10.0, "width": 50.0, "height": 50.0}
    assert ant["value"] == {"rotation": 0, "rectanglelabels": ["Ant"]}
    assert (ant["original_width"], ant["original_height"], ant["score"]) == (200, 100, 0.9)
    assert (ant["from_name"], ant["to_name"], ant["type"]) == ("box", "img", "rectanglelabels")
    assert (bee["value"]["width"], bee["value"]["height"]) == (100.0, 100.0)


LABELS = (Label("ant", 0.6, 0), Label("bee", 0.7, 1), Label("wasp", 0.1, 2))


def test_one_class_is_chosen_of_a_classification_and_every_tag_else():
    control = Control("Choices", "all", {"ant": "Ant", "bee": "bee"})
    (one,) = results(answer(labels=LABELS), control)
    assert (one["value"], one["score"], one["type"]) == ({"choices": ["Ant"]}, 0.6, "choices")
    (several,) = results(answer("multilabel", labels=LABELS), control)
    assert (several["value"], several["score"]) == ({"choices": ["Ant", "bee"]}, 0.7)
    (any_name,) = results(answer("multilabel", labels=LABELS), Control("Choices", "all"))
    assert any_name["value"] == {"choices": ["ant", "bee", "wasp"]}
    assert results(answer(labels=LABELS[2:]), control) == []
    assert results(answer("multilabel"), control) == []


def test_a_caption_is_text_with_the_mean_score_of_its_words():
    control = Control("TextArea", "t")
    words = found(("a", 0.5), ("bee", 1.0), kind="word")
    (text,) = results(answer("captioning", regions=words, caption="a bee"), control)
    assert (text["value"], text["score"], text["type"]) == ({"text": ["a bee"]}, 0.75, "textarea")
    (bare,) = results(answer("captioning", caption="a bee"), control)
    assert bare["score"] == 0.0
    assert results(answer("captioning", regions=words, caption=""), control) == []
    assert results(answer(labels=LABELS), control) == []


def test_entries_of_all_controls_are_one_list_with_ids_of_their_own():
    controls = [Control("Choices", "c"), Control("RectangleLabels", "b"), Control("Choices", "d")]
    whole = answer(labels=LABELS, regions=found(("ant", 0.6), ("ant", 0.5)))
    entries = results(whole, *controls)
    assert [entry["from_name"] for entry in entries] == ["c", "b", "b", "d"]
    assert [entry["id"] for entry in entries] == ["r1", "r2", "r3", "r4"]
