import pytest

from lookcloser.core.errors import (
    LookcloserError,
    UsageError,
    as_usage,
    close_matches,
    flag,
    system_words,
    unknown,
)
from lookcloser.core.outputs import check_place


def test_message_is_what_allowed_and_fix_as_sentences():
    error = LookcloserError("size 0: not possible", allowed="1 … 4096", fix="Leave it out.")
    assert str(error) == "size 0: not possible. Allowed: 1 … 4096. Leave it out."
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


def test_an_unknown_name_is_wrong_usage_and_still_the_one_error():
    assert type(unknown("b", "letter", ["a"])) is UsageError
    assert issubclass(UsageError, LookcloserError)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("no data given", "No data given."),
        ("maps of shape (3,)", "Maps of shape (3,)."),
        ("pets: no such folder", "pets: no such folder."),
        ("k = 0", "k = 0."),
        ("thresholds[2] falls", "thresholds[2] falls."),
        ("`step` returned nothing", "`step` returned nothing."),
    ],
)
def test_a_sentence_begins_with_a_capital_letter_or_a_value(what, expected):
    assert str(LookcloserError(what)) == expected


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ("a number above 0", "Allowed: a number above 0."),
        ("A number above 0", "Allowed: a number above 0."),
        ("RGB or gray", "Allowed: RGB or gray."),
        ("PIL images", "Allowed: PIL images."),
        ("0 to 3", "Allowed: 0 to 3."),
        ("It belongs to lstm.", "It belongs to lstm."),
    ],
)
def test_what_is_allowed_is_introduced_unless_it_is_a_sentence(allowed, expected):
    assert str(LookcloserError("k = 0", allowed=allowed)) == f"k = 0. {expected}"


def test_what_is_refused_inside_becomes_wrong_usage():
    with pytest.raises(UsageError, match=r"k = 0\. Allowed: 1\. Leave it out\."), as_usage():
        raise LookcloserError("k = 0", allowed="1", fix="Leave it out")
    inner = unknown("b", "letter", ["a"])
    with pytest.raises(UsageError) as caught, as_usage():
        raise inner
    assert caught.value is inner, "not wrapped twice"
    with pytest.raises(KeyError), as_usage():
        raise KeyError


class TestOption:
    """An error that names an option, as Python spells it and as the command line does."""

    ERROR = LookcloserError(
        "{} 3: not possible", allowed="A number for {}", fix="Leave {} out", option="rank_form"
    )

    def test_python_reads_its_own_spelling(self):
        assert str(self.ERROR) == (
            "rank_form 3: not possible. Allowed: a number for rank_form. Leave rank_form out."
        )
        assert self.ERROR.what == "rank_form 3: not possible"

    def test_the_command_line_reads_flags(self):
        assert self.ERROR.for_the_command_line() == (
            "--rank-form 3: not possible. Allowed: a number for --rank-form. Leave --rank-form out."
        )

    def test_wrong_usage_keeps_the_option(self):
        with pytest.raises(UsageError) as caught, as_usage():
            raise self.ERROR
        assert caught.value.for_the_command_line() == self.ERROR.for_the_command_line()

    def test_braces_of_a_value_stay_where_no_option_is_named(self):
        error = LookcloserError("{}: not arguments")
        assert str(error) == error.for_the_command_line() == "{}: not arguments."


def test_a_notebook_shows_the_sentence_and_the_callers_own_lines(tmp_path):
    def mine():
        check_place(tmp_path)

    with pytest.raises(LookcloserError) as caught:
        mine()
    *lines, sentence = caught.value._render_traceback_()
    assert sentence == f"{type(caught.value).__name__}: {caught.value}"
    assert lines[-1].strip().startswith("check_place(") or "^" in lines[-1]
    assert "in mine" in "".join(lines)
    assert "outputs.py" not in "".join(lines), "nothing of the package"


def test_an_error_that_was_never_raised_is_its_sentence_alone():
    assert LookcloserError("a.jpg: empty")._render_traceback_() == [
        "LookcloserError: a.jpg: empty."
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "Not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "smaller --batch-size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "--size"),
        (OSError(12, "Cannot allocate memory"), "Not enough memory"),
        (RuntimeError("std::bad_alloc"), "fewer --workers"),
        (
            RuntimeError("DataLoader worker (pid 31) is killed by signal: Killed."),
            "A loading process was ended by the system",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 31, 32) exited unexpectedly"),
            "or a smaller --batch-size",
        ),
        (
            RuntimeError(
                "DataLoader worker (pid 31) is killed by signal: Bus error. It is possible"
            ),
            "--shm-size=2g",
        ),
    ],
)
def test_what_the_system_refused_is_said_in_a_sentence(error, words):
    assert words in system_words(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory"),  # somebody's own words
        OSError(2, "No such file or directory"),
        KeyError("DataLoader"),
    ],
)
def test_other_errors_are_not_explained_away(error):
    assert system_words(error) is None


@pytest.mark.parametrize(("option", "spelled"), [("lr", "--lr"), ("rank_form", "--rank-form")])
def test_an_option_is_spelled_as_the_command_line_does(option, spelled):
    assert flag(option) == spelled


def test_no_more_near_names_than_asked_for_each_as_it_is_spelled():
    names = ["Robin", "robins", "robing", "wren"]
    assert close_matches("ROBIN", names, 2) == ["Robin", "robins"]
    assert close_matches("robin", [], 2) == []
    assert close_matches("zzz", names) == []
