"""The model registry: versions are whole or absent, and the pointer remembers who moved it and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from upath import UPath

from tcell_assets.lake.models import MANIFEST, ModelRegistry, UnknownModelError
from tcell_assets.system.files import StorageError


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(UPath(tmp_path / "models"))


def _save(created_at: str, folder: UPath) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps({"created_at": created_at, "batch_hashes": {}, "settings": {}}))


def _add(registry: ModelRegistry, version: str, created_at: str = "2026-01-01") -> None:
    registry.add(version, lambda folder: _save(created_at, folder))


def test_versions_are_listed_oldest_first(registry: ModelRegistry) -> None:
    _add(registry, "model-b", "2026-01-01")
    _add(registry, "model-a", "2026-01-02")
    assert registry.versions() == ["model-b", "model-a"]


def test_a_save_that_fails_leaves_no_version(registry: ModelRegistry) -> None:
    def fail(folder: UPath) -> None:
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        registry.add("model-a", fail)
    assert registry.versions() == []
    assert list(Path(registry.root.path).iterdir()) == []


def test_promotion_and_rollback_record_who_when_and_why(registry: ModelRegistry) -> None:
    _add(registry, "model-a")
    _add(registry, "model-b")
    assert registry.current() is None
    registry.promote("model-a", who="Ada", why="first")
    registry.promote("model-b", who="Ben", why="new plates")
    rollback = registry.rollback(who="Cy", why="drift")
    assert registry.current() == "model-a"
    assert (rollback.version, rollback.previous, rollback.who, rollback.why) == (
        "model-a",
        "model-b",
        "Cy",
        "drift",
    )
    assert [promotion.version for promotion in registry.promotions()] == ["model-a", "model-b", "model-a"]
    assert all(promotion.when.endswith("+00:00") for promotion in registry.promotions())


def test_an_unknown_version_is_refused_with_the_known_ones(registry: ModelRegistry) -> None:
    _add(registry, "model-a")
    for unknown in ("model-x", "../model-a", "/etc"):
        with pytest.raises(UnknownModelError, match="model-a"):
            registry.promote(unknown, who="Ada", why="")
    assert registry.current() is None


def test_without_a_current_model_the_next_step_is_named(registry: ModelRegistry) -> None:
    with pytest.raises(UnknownModelError, match="materialize trained_model"):
        registry.resolve(None)
    with pytest.raises(UnknownModelError, match="no earlier model"):
        registry.rollback(who="Ada", why="")


def test_rolling_back_twice_takes_back_two_promotions(registry: ModelRegistry) -> None:
    for version in ("model-a", "model-b", "model-c"):
        _add(registry, version)
        registry.promote(version, who="Ada", why="better")
    assert registry.rollback(who="Ada", why="c is wrong").version == "model-b"
    assert registry.rollback(who="Ada", why="b is wrong too").version == "model-a"
    with pytest.raises(UnknownModelError, match="no earlier model"):
        registry.rollback(who="Ada", why="one too many")


FOREIGN = {
    "empty": b"",
    "cut off": b'{"version": "model-a", ',
    "no text": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "something else's": b'{"name": "left-pad", "version": "1.3.0"}',
    "another model's": b'{"version": "model-b", "batch_hashes": {}, "settings": {}}',
    "nested beyond reason": b"[" * 100_000,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_damaged_manifest_is_named_and_hides_no_other_version(
    registry: ModelRegistry, content: bytes
) -> None:
    _add(registry, "model-a")
    _add(registry, "model-b")
    (registry.root / "model-a" / MANIFEST).write_bytes(content)
    assert registry.versions() == ["model-b"]
    ((version, sentence),) = registry.damaged().items()
    assert version == "model-a"
    assert f"model-a/{MANIFEST}: " in sentence
    assert "train again" in sentence
    with pytest.raises(StorageError, match="model-a"):
        registry.manifest("model-a")


def test_a_deleted_current_model_is_a_sentence_with_the_way_on(registry: ModelRegistry) -> None:
    _add(registry, "model-a")
    _add(registry, "model-b")
    registry.promote("model-b", "Ada", "test")
    shutil.rmtree(Path(registry.root.path) / "model-b")
    for ask in (lambda: registry.resolve(None), lambda: registry.manifest("model-b")):
        with pytest.raises(UnknownModelError, match=r"model-b.*[Vv]ersions here: model-a"):
            ask()
