"""Targets that a laboratory declares in a file, without touching code: read, checked, and each fault named."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from tcell_assets.targets.target import Target, TargetError, spelling

LARGEST_DECLARATION_BYTES = 64 * 1024
DECLARED_KEYS = ("kind", "description", "unit", "spellings", "classes", "weight")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@lru_cache(maxsize=8)
def declared_targets(
    path: Path, state: tuple[int, int], of_the_code: tuple[Target, ...]
) -> tuple[Target, ...]:
    """The targets that a file declares.

    Args:
        path: The file.
        state: Time and size of it; another state is another file.
        of_the_code: Targets whose names, spellings and columns are taken.

    Raises:
        TargetError: The declaration cannot be used; a sentence for each thing wrong in it.
    """
    problems: list[str] = []
    content = _load(path, problems)
    declared = [
        target
        for name, fields in content.items()
        if (target := _read_target(name, fields, problems)) is not None
    ]
    if not problems:
        _check_together(of_the_code, declared, problems)
    if problems:
        raise TargetError("\n".join(f"{path}: {problem}" for problem in problems))
    return tuple(declared)


def _load(path: Path, problems: list[str]) -> dict[Any, Any]:
    # Imported here: most installations declare nothing.
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice, of which YAML would keep the last without a word."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key} stands in it twice")
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST_DECLARATION_BYTES:
            raise ValueError(f"it has {len(raw):,} bytes, more than {LARGEST_DECLARATION_BYTES:,}")
        text = raw.decode("utf-8")
        # Aliases can make a few lines stand for gigabytes; no declaration needs one.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise ValueError("it uses YAML aliases (*name)")
        content = yaml.load(text, Loader)
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        problems.append(f"cannot be read ({' '.join(str(error).split())[:200]}); correct the file")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict) or set(content) != {"targets"}:
        problems.append("must hold one key, targets, with a name a target below it; see docs/targets.md")
        return {}
    declared = content["targets"]
    if declared is not None and not isinstance(declared, dict):
        problems.append("targets must be a name a target, each with its kind below it; see docs/targets.md")
        return {}
    return declared or {}


def _read_target(name: Any, fields: Any, problems: list[str]) -> Target | None:
    before = len(problems)

    def wrong(found: str, mend: str) -> None:
        problems.append(f"target {name!r} {found}; {mend}")

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        wrong(
            "is no name of a column",
            "write it in lower-case letters, digits and _, from a letter, 40 characters at most",
        )
    if not isinstance(fields, dict):
        wrong(f"says {fields!r}", "write its fields below it, at least kind: regression or kind: binary")
        return None
    for key in fields:
        if key not in DECLARED_KEYS:
            near = get_close_matches(str(key)[:64], DECLARED_KEYS, n=1)
            wrong(
                f"has the unknown field {key!r}",
                f"did you mean {near[0]}?" if near else f"there are {', '.join(DECLARED_KEYS)}",
            )
    kind: Any = fields.get("kind")
    if kind not in ("regression", "binary"):
        wrong(f"has the kind {kind!r}", "write regression (a number) or binary (0 or 1)")
    for key in ("description", "unit"):
        if not isinstance(fields.get(key, ""), str):
            wrong(f"has the {key} {fields[key]!r}", "write text")
    weight = fields.get("weight", 1.0)
    is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight) or weight <= 0:
        wrong(
            f"has the weight {weight!r}",
            "write a number above 0; a target that shall not be learnt is left out",
        )
    spellings = fields.get("spellings", [])
    if not isinstance(spellings, list) or not all(
        isinstance(text, str) and spelling(text) for text in spellings
    ):
        wrong(f"has the spellings {spellings!r}", "write a list of column names")
    classes = fields.get("classes", ["no", "yes"])
    if not isinstance(classes, list) or len(classes) != 2 or not all(isinstance(c, str) for c in classes):
        wrong(f"has the classes {classes!r}", "write two words, what 0 and what 1 means, in quotation marks")
    for key, owner in (("unit", "regression"), ("classes", "binary")):
        if key in fields and kind in ("regression", "binary") and kind != owner:
            wrong(f"is {kind} and has {key}", f"leave it out, only a {owner} target has {key}")
    if len(problems) > before:
        return None
    low, high = classes
    return Target(
        name=name,
        kind=kind,
        description=fields.get("description", ""),
        unit=fields.get("unit", ""),
        spellings=tuple(spellings),
        classes=(low, high),
        weight=float(weight),
    )


def _check_together(known: Iterable[Target], declared: Iterable[Target], problems: list[str]) -> None:
    """No two targets may share a name, a spelling, a head, a term or a column."""
    owners: dict[tuple[str, str], Target] = {}
    for target in known:
        for claim in _claims(target):
            owners.setdefault(claim, target)
    for target in declared:
        taken = [claim for claim in _claims(target) if owners.setdefault(claim, target) is not target]
        for what, text in taken[:1]:
            problems.append(
                f"target {target.name!r} has the {what} {text!r} of target {owners[what, text].name!r}; "
                "choose another name"
            )


def _claims(target: Target) -> list[tuple[str, str]]:
    reduced = {spelling(text) for text in (target.name, *target.spellings)}
    # A z at the end plays no part on landing, so with and without it a spelling is one.
    spelled = sorted(
        reduced | {re.sub("z$", "", text) for text in reduced} | {f"{text}z" for text in reduced}
    )
    columns = (
        *target.predictions,
        target.spread,
        target.low,
        target.high,
        target.calibrated,
        target.temperature,
    )
    return [
        ("name", target.name),
        *(("spelling", text) for text in spelled),
        ("head", target.head),
        *(("column", name) for name in dict.fromkeys((target.name, *columns)) if name),
    ]
