import pytest

from lookcloser.core.errors import LookcloserError, close_matches, unknown


def test_message_is_what_allowed_and_fix_as_sentences():
    error = LookcloserError("size 0: not possible", allowed="1 … 4096", fix="Leave it out.")
    assert str(error) == "size 0: not possible. 1 … 4096. Leave it out."
    assert (error.what, error.allowed, error.fix) == (
        "size 0: not possible",
        "1 … 4096",
        "Leave it out.",
    )
    assert isinstance(error, ValueError)


def test_questions_keep_their_mark():
    assert str(LookcloserError("pets: no such folder", fix="Did you mean 'Pets'?")).endswith(
        "'Pets'?"
    )


def test_near_names_come_best_first_whatever_their_case():
    assert close_matches("RESNT18", ["resnet18", "resnet34", "vgg11"])[0] == "resnet18"


@pytest.mark.parametrize(
    ("value", "choices", "expected"),
    [
        ("resnt18", ["resnet18", "vgg11"], "resnt18: unknown backbone. Close: resnet18."),
        ("zzz", ["b", "a"], "zzz: unknown backbone. There are: a, b."),
        ("zzz", [f"name{i}" for i in range(50)], "zzz: unknown backbone."),
    ],
)
def test_unknown_offers_near_names_or_a_short_list(value, choices, expected):
    assert str(unknown(value, "backbone", choices)) == expected
