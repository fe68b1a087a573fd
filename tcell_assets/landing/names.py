"""Names as people type them: what is folded to one spelling without asking, and which spellings look like one name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

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

# Cyrillic letters, lower case, that look like the Latin one beside them.
LOOKALIKES = str.maketrans("авекмнорстухіјѕԁһԛԝ", "abekmhopctyxijsdhqw")
# Cysteine and cystine are two compounds; of 366 metabolites of a real screen no two words so long differ so little.
FEWEST_LETTERS_FOR_TYPING_ERRORS = 8


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

    Letters of other alphabets and widths count as the Latin ones they look like. Signs and primes count:
    ``(+)-catechin`` and ``(-)-catechin``, ``NAD`` and ``NAD+`` stay apart.
    """
    text = unicodedata.normalize("NFKC", folded(name)).casefold().translate(LOOKALIKES)
    for pattern, word in SIGNS:
        text = pattern.sub(word, text)
    text = "".join(GREEK.get(letter, letter) for letter in text)
    reduced = re.sub(r"[\W_]+", "", text)
    # A name of punctuation alone is like no other.
    return reduced or text


def alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that look like one, each sorted, in sorted order.

    Long words that differ by one letter more or by two neighbours that changed places look like one too; another letter
    in the same place does not: it tells α- from γ-tocotrienol and ethyl from methyl.
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(likeness(name), set()).add(name)
    group_of = {name: group for group in groups.values() for name in group}
    for one, other in _typing_errors(sorted(group_of)):
        joined = group_of[one] | group_of[other]
        for name in joined:
            group_of[name] = joined
    found = {id(group): group for group in group_of.values()}
    return sorted(sorted(group) for group in found.values() if len(group) > 1)


def _typing_errors(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names of the same words but one, a long one with a letter more or with two neighbours changed."""
    known: dict[tuple[str, ...], str] = {}
    for name in names:
        known.setdefault(_words(name), name)
    for words, name in known.items():
        for position, word in enumerate(words):
            if len(word) < FEWEST_LETTERS_FOR_TYPING_ERRORS or not word.isalpha():
                continue
            # The first letter tells ethyl from methyl, as a sign would.
            shorter = {word[:at] + word[at + 1 :] for at in range(1, len(word))}
            swapped = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(1, len(word) - 1)}
            for text in shorter | swapped - {word}:
                if len(text) < FEWEST_LETTERS_FOR_TYPING_ERRORS:
                    continue
                other = known.get((*words[:position], text, *words[position + 1 :]))
                if other is not None:
                    yield name, other


def _words(name: str) -> tuple[str, ...]:
    """Runs of letters, of digits, and the single other characters between them."""
    return tuple(re.findall(r"[^\W\d_]+|\d+|\S", folded(name).casefold()))
