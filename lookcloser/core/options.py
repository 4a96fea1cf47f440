"""Options: declared once, as the fields of a frozen dataclass, and read by whoever shows them.

The command line, config.yaml, the Python call, the table of the documentation and the errors all
read `declared`; `check` is the one place where a value is compared with what is allowed.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from operator import index
from typing import (
    Any,
    Literal,
    NamedTuple,
    Self,
    SupportsIndex,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from lookcloser.core.errors import UsageError, close_matches, unknown
from lookcloser.core.wording import as_share

Use = Literal["model", "training", "data"]


class Kind(NamedTuple):
    """The type of an option.

    Attributes:
        plain: bool, int, float, str, dict, or tuple.
        optional: Whether it may be None.
        choices: The words it chooses from; () where any will do.
        part: Of a tuple, the type of its values.
        length: Of a tuple, how many values it has; None for any number.
    """

    plain: type
    optional: bool = False
    choices: tuple[str, ...] = ()
    part: type = float
    length: int | None = None


class Bounds(NamedTuple):
    """Between which numbers a value, or each value of a tuple, must lie."""

    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None

    def hold(self, number: float) -> bool:
        """Whether ``number`` lies between them."""
        return (
            (self.above is None or number > self.above)
            and (self.least is None or number >= self.least)
            and (self.below is None or number < self.below)
            and (self.most is None or number <= self.most)
        )

    def words(self) -> str:
        """The bounds for a reader, e.g. "a number from 0 to below 1"; "" without any."""
        low = "" if self.above is None else f"above {self.above:g}"
        low = low if self.least is None else f"from {self.least:g}"
        high = "" if self.below is None else f"below {self.below:.3g}"
        high = high if self.most is None else f"{self.most:.3g}"
        if low and high:
            between = (
                " to " if self.above is None else (" and " if self.most is None else ", at most ")
            )
            return f"a number {low}{between}{high}"
        if self.least is not None:
            return f"{self.least:g} or more"
        if self.most is not None:
            return f"a number up to {high}"
        return f"a number {low}{high}" if low or high else ""


@dataclass(frozen=True)
class Declared:
    """An option as its class declares it.

    Attributes:
        name: Its spelling in Python and in config.yaml.
        kind: Its type.
        bounds: Of a number.
        default: What it is where nothing is given.
        help: One line.
        use: "model": stored in the model file; "training": read by training alone; "data": stored
            too, but it follows from the data, and nobody gives it.
        hint: The annotation, resolved.
    """

    name: str
    kind: Kind
    bounds: Bounds
    default: Any
    help: str
    use: Use
    hint: Any

    def allowed(self) -> str:
        """What the option takes, in words."""
        bounds, kind = self.bounds.words(), _WORDS[self.kind.plain](self.kind)
        if bounds and self.kind.plain is tuple:
            return f"{kind}, each {bounds.removeprefix('a number ')}"
        return bounds or kind


def option(
    default: Any,
    help: str,  # noqa: A002 - the command line's own word
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    use: Use = "model",
) -> Any:
    """Declare a field of an `Options` class.

    Args:
        default: Its default; a dict is copied for each object.
        help: One line, which ends with a full stop.
        above: Its values lie above this number.
        least: Its values are at least this number.
        below: Its values lie below this number.
        most: Its values are at most this number.
        use: Who reads it; see `Declared`.
    """
    metadata = {"help": help, "bounds": Bounds(above, least, below, most), "use": use}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """Base of the dataclasses whose fields are made by `option`.

    Raises:
        UsageError: On construction, for a value that is not allowed.
    """

    def __post_init__(self) -> None:
        for name, item in declared(type(self)).items():
            check(item, getattr(self, name))
        self.check_together()

    def check_together(self) -> None:
        """Refuse values that do not go together, each being allowed alone.

        Raises:
            UsageError: Naming one of them.
        """

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """From names with values, as Python or a YAML or JSON file holds them.

        Raises:
            UsageError: For a name that is not declared, or a value that is not allowed.
        """
        known = declared(cls)
        for name in values:
            if name not in known:
                raise unknown(name, "option", known)
        return cls(**{name: read_value(known[name].kind, value) for name, value in values.items()})


def stored(options: Options) -> dict[str, Any]:
    """What a saved model keeps of its options, by name, as JSON holds it."""
    kept = (name for name, item in declared(type(options)).items() if item.use != "training")
    values = {name: getattr(options, name) for name in kept}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def declared(cls: type[Any]) -> Mapping[str, Declared]:
    """The options of an `Options` class by name, in their order: the fields `option` has made."""
    key: Any = cls  # the class of a frozen dataclass is hashable; mypy takes it for an object
    return _read_declared(key)


@cache
def _read_declared(cls: type[Any]) -> Mapping[str, Declared]:
    hints = get_type_hints(cls)
    made = (item for item in fields(cls) if "help" in item.metadata)
    return {item.name: _declared(item, hints[item.name]) for item in made}


def _declared(item: Field[Any], hint: Any) -> Declared:
    default = item.default if item.default_factory is MISSING else item.default_factory()
    of = item.metadata
    return Declared(item.name, kind_of(hint), of["bounds"], default, of["help"], of["use"], hint)


def kind_of(hint: Any) -> Kind:
    """The kind of a resolved annotation, e.g. ``float | None`` or ``Literal["a", "b"]``."""
    optional = get_origin(hint) in {Union, types.UnionType} and type(None) in get_args(hint)
    plain = next(arm for arm in get_args(hint) if arm is not type(None)) if optional else hint
    origin, inner = get_origin(plain), get_args(plain)
    if origin is Literal:
        return Kind(str, optional, choices=inner)
    if origin is tuple:
        length = None if inner[-1] is Ellipsis else len(inner)
        return Kind(tuple, optional, part=inner[0], length=length)
    return Kind(dict if origin in {dict, Mapping} else plain, optional)


def read_value(kind: Kind, value: Any) -> Any:
    """``value`` as its kind, where YAML and JSON spell it otherwise.

    Lists are tuples, 1e-3 is a text, and of words to choose from 3 is a number and off is false.

    What cannot be read comes back as it is; `check` says what is wrong with it.
    """
    if kind.choices and isinstance(value, int):
        word = ("off", "on")[value] if isinstance(value, bool) else str(value)
        return word if word in kind.choices else value
    if kind.plain is tuple and isinstance(value, list | tuple):
        return tuple(read_value(Kind(kind.part), part) for part in value)
    if kind.plain is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return value
    return value


def check(item: Declared, value: Any) -> None:
    """Compare a value with what its option takes.

    Raises:
        UsageError: Naming the option, the value and what is allowed.
    """
    kind = item.kind
    if value is None and kind.optional:
        return
    if kind.choices:
        if value not in kind.choices:
            raise _unknown_choice(item, value)
        return
    if not _is(value, kind):
        allowed = _WORDS[kind.plain](kind) + (" or null" if kind.optional else "")
        raise UsageError(f"{{}} {value}: not possible", allowed=allowed, option=item.name)
    numbers = value if kind.plain is tuple else [value]
    if item.bounds != Bounds() and not all(map(item.bounds.hold, numbers)):
        is_share = 1.0 in {item.bounds.below, item.bounds.most}
        raise UsageError(
            f"{{}} {value}: not possible",
            allowed=item.allowed(),
            fix=as_share(value) if is_share else None,
            option=item.name,
        )


def whole(least: int, **values: Any) -> None:
    """Compare arguments that count something with the least that makes sense.

    Args:
        least: 0 or more.
        values: By the names of the arguments.

    Raises:
        UsageError: Naming the first that is less, or no whole number.
    """
    for name, value in values.items():
        counts = isinstance(value, SupportsIndex) and not isinstance(value, bool)
        if not counts or index(value) < least:
            raise UsageError(f"{name} = {value!s:.60}", allowed=f"A whole number, {least} or more")


def _unknown_choice(item: Declared, value: Any) -> UsageError:
    close = close_matches(str(value), item.kind.choices)
    fix = f"{'Close' if close else 'There are'}: {', '.join(close or sorted(item.kind.choices))}"
    return UsageError(f"{value}: unknown {{}}", fix=fix, option=item.name)


def _is(value: Any, kind: Kind) -> bool:
    plain = kind.plain
    if isinstance(value, bool):
        return plain is bool
    if plain is tuple:
        fits = isinstance(value, list | tuple) and kind.length in {None, len(value)}
        return fits and all(_is(part, Kind(kind.part)) for part in value)
    if plain is float:
        return isinstance(value, int | float) and _is_finite(value)
    return isinstance(value, Mapping if plain is dict else plain)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _tuple_words(kind: Kind) -> str:
    number = {None: "", 3: "three "}.get(kind.length, f"{kind.length} ")
    return number + ("whole numbers" if kind.part is int else "finite numbers")


_WORDS: dict[type, Any] = {
    bool: lambda _: "true or false",
    int: lambda _: "a whole number",
    float: lambda _: "a finite number",
    str: lambda kind: ", ".join(kind.choices) or "a word",
    tuple: _tuple_words,
    dict: lambda _: "names with values",
}
