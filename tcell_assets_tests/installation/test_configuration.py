"""The installation's settings: read from the environment within their bounds, documented as they are declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tcell_assets.installation.configuration import (
    ConfigurationError,
    OperationSettings,
    load_configuration,
)
from tcell_assets.settings import declared

OPERATIONS_PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def documented() -> dict[str, str]:
    """The default of every variable that the page's tables name; a row may name two."""
    found: dict[str, str] = {}
    for row in re.findall(r"^\| (`TCELL_[^|]+)\| ([^|]+)\|", OPERATIONS_PAGE.read_text(), flags=re.MULTILINE):
        names, defaults = (re.findall(r"`([^`]+)`", cell) for cell in row)
        found |= dict(zip(names, defaults, strict=True))
    return found


def test_the_page_on_operations_names_every_setting_with_its_default() -> None:
    declared_defaults = {
        f"TCELL_{name.upper()}": item.default for name, item in declared(OperationSettings).items()
    }
    shown = documented()
    assert set(shown) == set(declared_defaults)
    for variable, text in shown.items():
        name = variable.removeprefix("TCELL_").lower()
        read = getattr(load_configuration({"TCELL_HOME": ".", variable: text}).operations, name)
        assert read == declared_defaults[variable], variable


def test_nothing_said_means_the_defaults() -> None:
    assert load_configuration({"TCELL_HOME": "."}).operations == OperationSettings()


def test_switches_and_numbers_are_read_from_text() -> None:
    read = load_configuration(
        {"TCELL_HOME": ".", "TCELL_NIGHTLY": "OFF", "TCELL_SETTLE_SECONDS": "2.5", "TCELL_REQUESTS_PER_TICK": "3"}
    ).operations  # fmt: skip
    assert read == OperationSettings(nightly=False, settle_seconds=2.5, requests_per_tick=3)


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("TCELL_LOOK_EVERY_SECONDS", "0", "a whole number of at least 1"),
        ("TCELL_REQUESTS_PER_TICK", "many", "a whole number of at least 1"),
        ("TCELL_SETTLE_SECONDS", "inf", "a number of at least 0"),
        ("TCELL_NEW_PLATES", "maybe", "on or off"),
    ],
)
def test_a_variable_out_of_bounds_is_refused_with_what_it_may_be(
    variable: str, text: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{variable}='{text}'; it must be {words}$"):
        load_configuration({"TCELL_HOME": ".", variable: text})


@pytest.mark.parametrize("variable", ["TCELL_HOME", "TCELL_DATA", "DAGSTER_HOME"])
def test_a_folder_given_as_a_url_is_refused_rather_than_made_beside_the_program(variable: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{variable}=s3://screens/plates is a URL"):
        load_configuration({"TCELL_HOME": ".", variable: "s3://screens/plates"})
