"""What the UI shows: names from plate maps are text there, never markup."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tcell_assets.metadata import bullet_list, literal_markdown, preview

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](http://evil.test/pixel.png)",
    "[click](javascript:alert(1))",
    "https://evil.test",
    "a | b",
    "**bold** _it_ ~~no~~ `code`",
    "# heading",
    "line one\n\n# line two",
    "&lt;script&gt;",
    "\\*not escaped\\*",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_every_character_that_markdown_reads_is_escaped(name: str) -> None:
    shown = literal_markdown(name)
    assert "\n" not in shown
    assert re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>()#!|~&:]", shown) is None
    unescaped = re.sub(r"\\([^\w\s]|_)", r"\1", shown)
    assert unescaped == " ".join(name.split())


def test_a_table_of_hostile_names_keeps_its_rows_and_columns() -> None:
    text = str(preview(pd.DataFrame({"metabolite": HOSTILE, "n": range(len(HOSTILE))})).value)
    lines = text.splitlines()
    assert len(lines) == 2 + len(HOSTILE)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines[2:])


def test_notes_are_a_list_of_plain_lines() -> None:
    assert bullet_list(["a\n- b"]).value == "- a \\- b"
    assert bullet_list([]).value == "none"
