"""What code stands behind each asset, so that no change of it goes by without a thought for the code version.

An asset's code is its function and every function, class and constant of this package that it reaches by name, through
imports and from body to body. `code_fingerprints.json` keeps a hash of each, without docstrings, comments and layout,
beside the asset's code version. When one changes, a test names it, with the two ways out: raise the code version of the
assets whose numbers change, or renew the file where none does:

    python -m tcell_assets.defs.code_fingerprints
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dagster as dg

PACKAGE = "tcell_assets"
FINGERPRINTS = Path(__file__).with_name("code_fingerprints.json")
# Where numbers are made. The other rooms write, show, declare and judge what is made here.
COUNTED = (
    "tcell_assets.defs.assets",
    "tcell_assets.defs.resources",
    "tcell_assets.landing",
    "tcell_assets.science",
    "tcell_assets.targets",
)
# Where tables and models lie, and what they are called, changes no value.
NOT_COUNTED = {("tcell_assets.defs.resources", "Storage"), ("tcell_assets.defs.resources", "LandingZone")}

Name = tuple[str, str]


@dataclass(frozen=True)
class Module:
    """A module of the package: its top-level definitions, and the names it imports from the package."""

    definitions: Mapping[str, ast.stmt]
    imported: Mapping[str, Name]


@cache
def read_module(name: str) -> Module:
    """Return the definitions and imports of a module, those inside of functions included."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, f"{name} is no module"
    tree = ast.parse(Path(spec.origin).read_text())
    definitions: dict[str, ast.stmt] = {}
    for node in tree.body:
        for defined in _defined_names(node):
            definitions[defined] = node
    imported: dict[str, Name] = {}
    for found in ast.walk(tree):
        if isinstance(found, ast.ImportFrom) and (found.module or "").split(".")[0] == PACKAGE:
            for alias in found.names:
                imported[alias.asname or alias.name] = (str(found.module), alias.name)
    return Module(definitions, imported)


def _defined_names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def reached_from(start: Name) -> set[Name]:
    """Return every definition of the package that one reaches by name, itself included."""
    reached: set[Name] = set()
    waiting = [start]
    while waiting:
        module_name, name = waiting.pop()
        resolved = _resolve(module_name, name)
        if resolved is None or resolved in reached | NOT_COUNTED or not resolved[0].startswith(COUNTED):
            continue
        reached.add(resolved)
        module = read_module(resolved[0])
        used = {
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(module.definitions[resolved[1]])
            if isinstance(node, ast.Name | ast.Attribute)
        }
        waiting += [(resolved[0], name) for name in used & {*module.definitions, *module.imported}]
        # `from tcell_assets.landing import targets`, then `targets.read(…)`.
        for name in used & {*module.imported}:
            inner = ".".join(module.imported[name])
            if _is_module(inner):
                waiting += [(inner, attribute) for attribute in used & {*read_module(inner).definitions}]
    return reached


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _resolve(module_name: str, name: str) -> Name | None:
    """Where a name is defined, through imports of imports; None for a module or what is not the package's."""
    for _ in range(10):
        module = read_module(module_name)
        if name in module.definitions:
            return module_name, name
        if name not in module.imported:
            return None
        module_name, name = module.imported[name]
    return None


@cache
def hash_of(definition: Name) -> str:
    """Return a hash of a definition's syntax tree without docstrings; comments and layout are not in it."""
    node = ast.parse(ast.unparse(read_module(definition[0]).definitions[definition[1]])).body[0]
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                inner.body = body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(node).encode()).hexdigest()[:16]


def code_of_assets(definitions: dg.Definitions) -> dict[str, tuple[str, set[Name]]]:
    """Return the code version and the definitions behind every asset that runs."""
    found: dict[str, tuple[str, set[Name]]] = {}
    for asset in definitions.assets or ():
        if not isinstance(asset, dg.AssetsDefinition) or not asset.is_executable:
            continue
        function = asset.op.compute_fn.decorated_fn  # type: ignore[union-attr]
        reached = reached_from((function.__module__, function.__name__))
        for spec in asset.specs:
            found[spec.key.to_user_string()] = (str(spec.code_version), reached)
    return found


def fingerprints(definitions: dg.Definitions) -> dict[str, dict[str, object]]:
    """Return what the file holds: the hash of each definition, and of each asset its version and what it reaches."""
    code = code_of_assets(definitions)
    everything = sorted(set[Name]().union(*(reached for _, reached in code.values())))
    return {
        "definitions": {_dotted(definition): hash_of(definition) for definition in everything},
        "assets": {
            asset: {
                "code_version": version,
                "hash": _joint_hash(reached),
            }
            for asset, (version, reached) in sorted(code.items())
        },
    }


def _joint_hash(reached: set[Name]) -> str:
    lines = [f"{_dotted(definition)} {hash_of(definition)}" for definition in sorted(reached)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _dotted(definition: Name) -> str:
    return ".".join(definition)


def unnoticed_changes(definitions: dg.Definitions, kept: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return a sentence for each asset whose code changed while its code version did not."""
    code, now = code_of_assets(definitions), fingerprints(definitions)
    sentences = []
    for asset, (version, reached) in sorted(code.items()):
        before = kept["assets"].get(asset)
        if before == now["assets"][asset]:
            continue
        if not isinstance(before, dict):
            sentences.append(f"{asset} is new: renew {FINGERPRINTS.name}")
            continue
        changed = sorted(
            name
            for name in map(_dotted, reached)
            if kept["definitions"].get(name) != now["definitions"][name]
        )
        names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        what = f"{names} changed" if changed else "it reaches less code than before"
        if before["code_version"] != version:
            sentences.append(f"{asset}: code version is {version} now; renew {FINGERPRINTS.name}")
        else:
            sentences.append(f"{asset} (code version {version}): {what}")
    return sentences


WAYS_OUT = (
    "Where the same input gives other values now, raise code_version of the table (lake/tables) or asset. Then, or "
    "where no value changes, renew the file: python -m tcell_assets.defs.code_fingerprints"
)


def main() -> None:
    """Renew the file of fingerprints."""
    from tcell_assets.definitions import build_defs

    FINGERPRINTS.write_text(json.dumps(fingerprints(build_defs()), indent=1) + "\n")


if __name__ == "__main__":
    main()
