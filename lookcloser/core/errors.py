"""The one error type users meet: it names the value, what is allowed, and the next step."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

from lookcloser.core.synonyms import meant
from lookcloser.core.wording import printable

_PACKAGE = Path(__file__).resolve().parents[1]
_NOTEBOOK = ("IPython", "ipykernel")  # packages whose frames stand around a cell's own


class LookcloserError(ValueError):
    """Something a user can fix.

    The message has up to three sentences: what was wrong (with the offending value), what is
    allowed, and what to do next. The command line prints it as it is, without a traceback: names
    in it are made `printable` here, so that a file name cannot command the terminal.

    Args:
        what: What is wrong, the value named first, e.g. ``"resnt18: unknown backbone"``. Without a
            value it is a plain sentence, and gets its capital letter here.
        allowed: What would have been accepted, e.g. ``"a number above 0"``; it is introduced by
            "Allowed: ". One that is a sentence of its own ends with a full stop, and stays so.
        fix: The next step to take.
        option: What "{}" in these texts stands for: an option, as Python spells it.

    Attributes:
        kind: What sort of error it is, for programs: texts are for people, and change.
    """

    kind: ClassVar[str] = "invalid"

    def __init__(
        self,
        what: str,
        *,
        allowed: str | None = None,
        fix: str | None = None,
        option: str | None = None,
    ) -> None:
        self.texts, self.option = (what, allowed, fix), option
        self.what = _naming(what, option)
        self.allowed = None if allowed is None else _naming(allowed, option)
        self.fix = None if fix is None else _naming(fix, option)
        parts = (_capital(self.what), _introduced(self.allowed or ""), self.fix or "")
        message = " ".join(_sentence(part) for part in parts if part)
        super().__init__("\n".join(map(printable, message.split("\n"))))

    def for_the_command_line(self) -> str:
        """The message with its option as the command line spells it: "--rank-form"."""
        if self.option is None:
            return str(self)
        what, allowed, fix = self.texts
        return str(type(self)(what, allowed=allowed, fix=fix, option=flag(self.option)))

    def renamed(self, old: object, new: object) -> LookcloserError:
        """The same error, of ``new`` where it speaks of ``old``: a file for its temporary place."""
        texts = [text and text.replace(str(old), str(new)) for text in self.texts]
        return type(self)(texts[0] or "", allowed=texts[1], fix=texts[2], option=self.option)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, below the lines of the caller's own code.

        The dozens of frames inside the package say nothing to who can fix the value.
        """
        frames = [
            frame
            for frame in traceback.extract_tb(self.__traceback__)
            if not set(_NOTEBOOK) & set(Path(frame.filename).parts)
        ]
        own = takewhile(lambda frame: not Path(frame.filename).is_relative_to(_PACKAGE), frames)
        lines = "".join(traceback.format_list(list(own))).splitlines()
        return [*lines, f"{type(self).__name__}: {self}"]


def flag(option: str) -> str:
    """The command line's spelling of an option."""
    return f"--{option.replace('_', '-')}"


class NotFiniteError(LookcloserError):
    """A network answered with NaN or infinity: its training diverged, or a number overflowed."""

    kind = "not finite"


class TooLargeError(LookcloserError):
    """An image with more pixels or bytes than are taken."""

    kind = "too large"


class UsageError(LookcloserError):
    """Wrong usage: an unknown name, a value out of range, options that do not go together.

    For those who call from Python it is a `LookcloserError` like any other; the command line exits
    with another code.
    """


@contextmanager
def as_usage() -> Iterator[None]:
    """Whatever is refused inside is wrong usage: a `LookcloserError` leaves as a `UsageError`."""
    try:
        yield
    except UsageError:
        raise
    except LookcloserError as error:
        what, allowed, fix = error.texts
        raise UsageError(what, allowed=allowed, fix=fix, option=error.option) from error


# What torch says, in errors without a class of their own -> what it means.
_MEMORY = (
    *("can't allocate memory", "out of memory", "bad_alloc", "alloc_failed"),
    *("not enough memory", "cannot allocate memory"),
)
_NO_MEMORY = "Not enough memory. Try a smaller --batch-size or --size, or fewer --workers"
_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (exited|is killed)")


def system_words(error: BaseException) -> str | None:
    """A sentence for what the system refused or ended: memory, a loading process.

    None for any other error.
    """
    text = str(error)
    if _WORKER.search(text):
        if "bus error" in text.lower() or "shared memory" in text.lower():
            return (
                "A loading process found too little shared memory. Give the container more "
                "(docker run --shm-size=2g), or use --workers 0"
            )
        return (
            "A loading process was ended by the system, usually for lack of memory. Use fewer "
            "--workers, or a smaller --batch-size"
        )
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    is_memory = any(words in text.lower() for words in _MEMORY)
    return _NO_MEMORY if is_memory and isinstance(error, RuntimeError | OSError) else None


def close_matches(value: str, choices: Iterable[str], n: int = 3) -> list[str]:
    """The ``n`` choices that look most like ``value``, best first, ignoring case."""
    import difflib  # only those who mistyped need it

    by_lower = {choice.lower(): choice for choice in choices}
    return [by_lower[key] for key in difflib.get_close_matches(value.lower(), by_lower, n, 0.6)]


def unknown(value: object, kind: str, choices: Iterable[str]) -> UsageError:
    """The error for a name that is not among ``choices``; offers near names, else all of a few.

    A name that other tools give to one of them is near, too (`core.synonyms`).
    """
    names = sorted(choices)
    close = []
    if isinstance(value, str):
        close = meant(value, names) or close_matches(value, names)
    if close:
        fix = f"Close: {', '.join(close)}"
    elif len(names) <= 20:
        fix = f"There are: {', '.join(names)}"
    else:
        fix = None
    return UsageError(f"{value}: unknown {kind}", fix=fix)


def _naming(text: str, option: str | None) -> str:
    return text if option is None else text.replace("{}", option)


def _capital(what: str) -> str:
    """A sentence begins with a capital letter, a value ("a.jpg: ...", "k = 0") is left as it is."""
    first = what.split(" ", maxsplit=1)[0].replace("-", "")
    is_value = ": " in what or "=" in what or not first.isalpha()
    return what if is_value else what[:1].upper() + what[1:]


def _introduced(allowed: str) -> str:
    if not allowed or allowed.endswith("."):
        return allowed
    # "A number" goes on in lower case, "COCO" and "RGB" do not.
    plain = allowed[1:2].islower() or allowed[1:2] == " "
    return f"Allowed: {allowed[0].lower() if plain else allowed[0]}{allowed[1:]}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", ":", "`")) else f"{text}."
