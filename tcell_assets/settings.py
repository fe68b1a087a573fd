"""How a setting is declared: once, with default, bounds and description, for science, Launchpad and shell alike."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

# numpy and scikit-learn take no larger one.
LARGEST_SEED = 2**32 - 1

_DECLARATION = "setting"
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

T = TypeVar("T")


class SettingsError(ValueError):
    """A setting outside its bounds, or one that does not exist; the message says what there is."""


@dataclass(frozen=True)
class Bounds:
    """What a number must keep within; None bounds nothing."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        """Whether a number lies within."""
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f" from {self.at_least:,.10g} to {self.at_most:,.10g}"
        parts = [
            f"{word} {bound:,.10g}"
            for word, bound in (
                ("of at least", self.at_least),
                ("above", self.above),
                ("of at most", self.at_most),
                ("below", self.below),
            )
            if bound is not None
        ]
        return f" {' and '.join(parts)}" if parts else ""


def setting(
    default: Any,
    description: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a :class:`Settings` class.

    Args:
        default: What holds where nobody says anything.
        description: What it does, without default and bounds: those are added wherever it is shown.
        at_least: Smallest value allowed.
        above: Values must be larger.
        at_most: Largest value allowed.
        below: Values must be smaller.
        choices: Values of a text, where the field's type is not a `Literal` that names them.
    """
    bounds = Bounds(at_least, above, at_most, below)
    return field(default=default, metadata={_DECLARATION: (description, bounds, choices)})


def seed(of_what: str) -> Any:
    """A field that seeds random numbers."""
    return setting(614, f"seed {of_what}", at_least=0, at_most=LARGEST_SEED)


@dataclass(frozen=True)
class Setting:
    """A setting as it is shown and read.

    Attributes:
        name: Its name.
        kind: `bool`, `int`, `float` or `str`: the type of its value, or of each value where it `is_list`.
        default: What holds where nobody says anything.
        description: What it does.
        bounds: Of a number.
        choices: Of a text; empty allows any.
        is_optional: Whether None is a value.
        none_means: What None takes instead, in words.
        is_list: Whether it holds several values, as a tuple.
    """

    name: str
    kind: type
    default: Any
    description: str
    bounds: Bounds = Bounds()
    choices: tuple[str, ...] = ()
    is_optional: bool = False
    is_list: bool = False
    none_means: str = ""

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if self.choices:
            names = ", ".join(self.choices[:-1])
            words = f"{names} {'and' if self.is_list else 'or'} {self.choices[-1]}".strip()
            words = f"some of {words}" if self.is_list else words
        elif self.kind is bool:
            words = "true or false"
        elif self.kind is str:
            words = "a text"
        else:
            words = f"a {'whole ' if self.kind is int else ''}number{self.bounds}"
        none = f", or none for {self.none_means}" if self.none_means else ", or none"
        return f"{words}{none}" if self.is_optional else words

    @property
    def shown(self) -> str:
        """Its description with what it may be."""
        return (
            self.description
            if self.kind is str and not self.choices
            else f"{self.description} ({self.allowed})"
        )

    def check(self, value: Any) -> None:
        """Refuse a value.

        Raises:
            SettingsError: It is of another type or outside the bounds.
        """
        if value is None and self.is_optional:
            return
        values = value if self.is_list and isinstance(value, list | tuple) else (value,)
        if self.is_list != isinstance(value, list | tuple) or not all(map(self._is_allowed, values)):
            raise SettingsError(f"{self.name} is {value!r}; it must be {self.allowed}")

    def read(self, text: str) -> Any:
        """The value that a text from the shell or the environment means.

        Raises:
            SettingsError: It means none that is allowed.
        """
        if self.is_optional and text.strip().lower() in ("none", "null"):
            return None
        value: Any = self._read_one(text)
        if self.is_list:
            value = tuple(
                self._read_one(part.strip()) for part in text.strip("[]").split(",") if part.strip()
            )
        self.check(value)
        return value

    def _is_allowed(self, value: Any) -> bool:
        if self.kind is float:
            return not isinstance(value, bool) and isinstance(value, int | float) and self.bounds.hold(value)
        if self.kind is int:
            return not isinstance(value, bool) and isinstance(value, int) and self.bounds.hold(value)
        return isinstance(value, self.kind) and (not self.choices or value in self.choices)

    def _read_one(self, text: str) -> Any:
        if self.kind is bool and text.strip().lower() in (*_YES, *_NO):
            return text.strip().lower() in _YES
        if self.kind in (int, float):
            try:
                return self.kind(text)
            except ValueError:
                return text
        return text


@dataclass(frozen=True)
class Settings:
    """What classes of settings build on: frozen, every field declared with :func:`setting`, checked when made."""

    def __post_init__(self) -> None:
        for item in declared(type(self)).values():
            item.check(getattr(self, item.name))

    @classmethod
    def form(cls) -> Form[Any]:
        """What a person fills in to get them."""
        return Form(cls.__name__, str(cls.__doc__), declared(cls), cls)


@dataclass(frozen=True)
class Form(Generic[T]):
    """What a person fills in to get settings: in the Launchpad, or by `--set`.

    Attributes:
        name: Of the class of settings.
        title: What they are for.
        fields: The settings by name; a form among them is a group that may be left out.
        build: Makes the settings of values by name, and checks what no single value shows.
    """

    name: str
    title: str
    fields: Mapping[str, Setting | Form[Any]]
    build: Callable[..., T]

    def filled(self, values: Mapping[str, Any]) -> T:
        """The settings that these values make, with defaults for the others.

        Raises:
            SettingsError: A name is unknown, a value out of bounds, or two values contradict each other.
        """
        refuse_unknown(values, self.fields)
        arguments = {}
        for name, value in values.items():
            item = self.fields[name]
            if isinstance(item, Form):
                arguments[name] = None if value is None else item.filled(value)
            else:
                item.check(value)
                arguments[name] = tuple(value) if isinstance(value, list) else value
        return self.build(**arguments)

    def flat(self) -> dict[str, Setting]:
        """Every setting by the name the shell gives it: `training.epochs` is that of a group."""
        names: dict[str, Setting] = {}
        for name, item in self.fields.items():
            inner = item.flat() if isinstance(item, Form) else {"": item}
            names |= {f"{name}.{below}".rstrip("."): found for below, found in inner.items()}
        return names


def refuse_unknown(names: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse names of no setting.

    Raises:
        SettingsError: With all there are, and the nearest.
    """
    unknown = sorted(set(names) - set(known))
    if unknown:
        near = [match for name in unknown for match in get_close_matches(name[:64], known, n=1)]
        hint = f"; did you mean {' and '.join(dict.fromkeys(near))}?" if near else ""
        raise SettingsError(
            f"no setting is called {', '.join(unknown)}; there are {', '.join(sorted(known))}{hint}"
        )


def declared(settings_class: type) -> Mapping[str, Setting]:
    """The settings that a class declares, by name; fields that are settings classes themselves are not among them."""
    hints = get_type_hints(settings_class)
    return types.MappingProxyType(
        {
            item.name: _setting(item.name, hints[item.name], item.default, *item.metadata[_DECLARATION])
            for item in dataclasses.fields(settings_class)
            if _DECLARATION in item.metadata
        }
    )


def _setting(
    name: str, hint: Any, default: Any, description: str, bounds: Bounds, choices: tuple[str, ...]
) -> Setting:
    is_optional = is_list = False
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
        is_optional = True
    if get_origin(hint) is tuple:
        hint, is_list = get_args(hint)[0], True
    if get_origin(hint) is Literal:
        choices, hint = get_args(hint), str
    return Setting(name, hint, default, description, bounds, choices, is_optional, is_list)
