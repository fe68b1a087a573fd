"""Names as people type them: what is folded to one spelling without asking, and which spellings look like one name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Zero-width space, joiners, word joiner, byte-order mark, soft hyphen, direction marks: nobody sees them in a cell.
INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad\u202a-\u202e\u2066-\u2069]")
# Hyphen, no-break hyphen, figure dash, en dash, minus, small and full-width hyphen.
HYPHENS = re.compile("[\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d]")
PRIMES = re.compile("[\u2019\u2032\u02b9\u02bc]")
BLANKS = re.compile(r"\s+")

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip
# A sign in brackets or at the end is chemistry and no punctuation: (+)-catechin, NAD+, Cl-.
SIGNS = (
    (re.compile(r"\(\+/-\)|\(\+-\)|\(±\)|±"), " racemic "),
    (re.compile(r"\(\+\)|\+"), " plus "),
    (re.compile(r"\(-\)|-$"), " minus "),
    (re.compile(r"'"), " prime "),
)


def folded(text: str) -> str:
    """The name in its one spelling: Unicode NFC, no invisible marks, one kind of hyphen, prime and blank, stripped.

    Only what no reader can tell apart is folded; upper and lower case and everything else stay as written.
    """
    if text.isascii() and "  " not in text and text.isprintable():
        return text.strip()
    text = unicodedata.normalize("NFC", INVISIBLE.sub("", text)).replace("µ", "μ")
    text = PRIMES.sub("'", HYPHENS.sub("-", text))
    # A line break inside a name is a damaged cell and no blank: it stays, to be told.
    text = re.sub(r"[^\S\r\n\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+", " ", text)
    return text.strip(" \u00a0")


def likeness(name: str) -> str:
    """What two spellings of one name have in common: letters and digits, whatever case, Greek letters written out.

    Signs and primes count: ``(+)-catechin`` and ``(-)-catechin``, ``NAD`` and ``NAD+`` stay apart.
    """
    text = folded(name).casefold()
    for pattern, word in SIGNS:
        text = pattern.sub(word, text)
    text = "".join(GREEK.get(letter, letter) for letter in text)
    reduced = re.sub(r"[\W_]+", "", text)
    # A name of punctuation alone is like no other.
    return reduced or text


def alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that look like one, each sorted, in sorted order."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(likeness(name), set()).add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)
