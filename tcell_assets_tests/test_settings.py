"""A setting is declared once: checked, read from text and described by its declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from tcell_assets.settings import LARGEST_SEED, Settings, SettingsError, declared, seed, setting


@dataclass(frozen=True)
class Kettle(Settings):
    """How water is boiled."""

    cups: int = setting(2, "cups of water", at_least=1)
    share: float = setting(0.5, "share kept", above=0, at_most=1)
    lid: bool = setting(True, "with the lid on")
    tea: Literal["black", "green"] = setting("black", "what is made")
    guests: tuple[Literal["Ann", "Bo"], ...] = setting((), "who comes")
    limit: int | None = setting(None, "most cups", at_least=1)
    seed: int = seed("of the leaves")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cups", "3", 3),
        ("share", "1e-3", 1e-3),
        ("share", "1", 1.0),
        ("lid", "no", False),
        ("lid", "true", True),
        ("tea", "green", "green"),
        ("guests", "Ann,Bo", ("Ann", "Bo")),
        ("guests", "[Ann, Bo]", ("Ann", "Bo")),
        ("guests", "", ()),
        ("limit", "none", None),
        ("limit", "7", 7),
        ("seed", str(LARGEST_SEED), LARGEST_SEED),
    ],
)
def test_a_text_is_read_as_the_type_of_its_setting(name: str, text: str, value: Any) -> None:
    read = declared(Kettle)[name].read(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("cups", "0", "cups is 0; it must be a whole number of at least 1"),
        ("cups", "2.5", "cups is '2.5'; it must be a whole number of at least 1"),
        ("cups", "none", "cups is 'none'"),
        ("share", "0", r"share is 0\.0; it must be a number above 0 and of at most 1"),
        ("share", "inf", "share is inf"),
        ("lid", "maybe", "lid is 'maybe'; it must be true or false"),
        ("tea", "mint", "tea is 'mint'; it must be black or green"),
        ("guests", "Ann,Cy", "guests is .*; it must be some of Ann and Bo"),
        ("limit", "0", "limit is 0; it must be a whole number of at least 1, or none"),
        ("seed", "-1", "seed is -1; it must be a whole number from 0 to 4,294,967,295"),
        ("seed", "4294967296", "seed is 4294967296"),
    ],
)
def test_a_text_that_means_nothing_allowed_is_refused_in_words(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        declared(Kettle)[name].read(text)


def test_settings_are_checked_when_they_are_made() -> None:
    with pytest.raises(SettingsError, match="cups is True"):
        Kettle(cups=True)
    with pytest.raises(SettingsError, match="lid is 1"):
        Kettle(lid=1)  # type: ignore[arg-type]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no setting is called cup; there are .*; did you mean cups\?"):
        Kettle.form().filled({"cup": 3})


def test_a_name_that_resembles_none_is_answered_with_all_there_are() -> None:
    with pytest.raises(
        SettingsError, match="no setting is called zzz; there are cups, guests, lid, limit"
    ) as found:
        Kettle.form().filled({"zzz": 3})
    assert "did you mean" not in str(found.value)


def test_what_is_filled_in_is_checked_with_defaults_for_the_rest() -> None:
    assert Kettle.form().filled({"guests": ["Bo"]}) == Kettle(guests=("Bo",))
    with pytest.raises(SettingsError, match="share is 2"):
        Kettle.form().filled({"share": 2})
