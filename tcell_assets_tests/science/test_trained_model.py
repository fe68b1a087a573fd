"""A saved model is complete, is checked when read, holds no pickle, and matches genes by name."""

from __future__ import annotations

import dataclasses
import json
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from tcell_assets.science.model.trained_model import (
    ModelError,
    TrainedModel,
    align_genes,
    content_version,
    load_model,
    save_model,
)
from tcell_assets_tests.science.small_screens import expression_frame, small_model, small_screen


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return small_model(use_zscore=True, linear_path=True)


@pytest.fixture
def folder(model: TrainedModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


def assert_same_model(one: TrainedModel, other: TrainedModel) -> None:
    for field in dataclasses.fields(TrainedModel):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, pd.DataFrame):
            pd.testing.assert_frame_equal(left, right)
        elif isinstance(left, dict) and left and isinstance(next(iter(left.values())), np.ndarray):
            assert left.keys() == right.keys()
            for name in left:
                np.testing.assert_array_equal(left[name], right[name])
        else:
            np.testing.assert_array_equal(left, right, err_msg=field.name)


def test_a_model_survives_the_disk_bit_by_bit(model: TrainedModel, folder: Path) -> None:
    assert_same_model(load_model(folder), model)


def test_a_model_survives_an_object_store(model: TrainedModel) -> None:
    store = UPath("memory://models/one")
    save_model(model, store)
    assert_same_model(load_model(store), model)


def test_a_model_without_scaler_and_with_untrained_heads_survives_the_disk(tmp_path: Path) -> None:
    data = small_screen()
    data = dataclasses.replace(data, wells=data.wells.assign(activation_score=np.nan))
    model = small_model(data)
    save_model(model, tmp_path)
    assert_same_model(load_model(tmp_path), model)
    assert not (tmp_path / "scaler.parquet").exists()


def test_saving_twice_writes_the_same_bytes(model: TrainedModel, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save_model(model, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_manifest_is_plain_json_with_all_provenance(model: TrainedModel, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["genes"] == list(model.genes)
    assert manifest["settings"]["network"]["d_model"] == 16
    assert manifest["batch_hashes"] == {"tc1": "hash-1", "tc2": "hash-2"}
    assert manifest["target_order"] == [
        "tscore",
        "cytotrace",
        "pseudotime",
        "is_activated",
        "activation_score",
    ]
    assert {"torch", "numpy", "python"} <= set(manifest["library_versions"])
    assert {"gene_hash", "seed", "compute", "training_latent_mean", "trained_heads"} <= set(manifest)


def test_no_file_of_a_model_is_a_pickle(folder: Path) -> None:
    for path in folder.iterdir():
        with pytest.raises(ValueError):
            list(pickletools.genops(path.read_bytes()))


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "last.safetensors", "history.parquet", "split.parquet", "scaler.parquet"]
)
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}.*damaged"):
        load_model(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "split.parquet", "scaler.parquet", "manifest.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_model(folder)


def test_a_truncated_manifest_is_named(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"manifest\.json.*JSON"):
        load_model(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("genes", ["OTHER"] * 12), ("batch_hashes", {"tc1": "other"}), ("version", "model-000000000000")],
)
def test_an_edited_manifest_is_noticed(folder: Path, field: str, value: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ModelError, match=r"manifest\.json"):
        load_model(folder)


def test_weights_of_another_model_are_noticed(folder: Path, tmp_path: Path) -> None:
    save_model(small_model(use_zscore=True, linear_path=True, seed=1), tmp_path / "other")
    (folder / "weights.safetensors").write_bytes((tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        load_model(folder)


def test_the_version_depends_on_all_that_it_names(model: TrainedModel) -> None:
    contents: dict[str, Any] = {
        "weights": model.weights,
        "settings": model.settings,
        "genes": model.genes,
        "gene_mean": model.gene_mean,
        "gene_standard_deviation": model.gene_standard_deviation,
        "split": model.split,
        "batch_hashes": model.batch_hashes,
    }
    assert content_version(**contents) == model.version
    changed_weights = {name: value.copy() for name, value in model.weights.items()}
    changed_weights["scores_head.bias"][0] += 1e-6
    assert model.gene_mean is not None
    changes: dict[str, Any] = {
        "weights": changed_weights,
        "settings": dataclasses.replace(model.settings, epochs=4),
        "genes": model.genes[::-1],
        "gene_mean": model.gene_mean + 1e-9,
        "split": model.split.assign(split="train"),
        "batch_hashes": {"tc1": "hash-1", "tc2": "other"},
    }
    versions = {content_version(**{**contents, name: value}) for name, value in changes.items()}
    assert len(versions | {model.version}) == len(changes) + 1


def test_genes_are_matched_by_name_and_extra_ones_dropped(model: TrainedModel) -> None:
    expression = expression_frame(small_screen())
    shuffled = expression[list(reversed(expression.columns))].assign(EXTRA=1.0)
    aligned = align_genes(shuffled, model)
    assert tuple(aligned.columns) == model.genes
    pd.testing.assert_frame_equal(aligned, expression[list(model.genes)])


def test_missing_genes_are_an_error_that_names_them(model: TrainedModel) -> None:
    expression = expression_frame(small_screen()).drop(columns=["GENE3", "GENE5"])
    with pytest.raises(ModelError, match=r"2 genes \(GENE3, GENE5\).*missing"):
        align_genes(expression, model)


def test_duplicate_genes_are_an_error_that_names_them(model: TrainedModel) -> None:
    expression = expression_frame(small_screen())
    with pytest.raises(ModelError, match=r"1 gene \(GENE3\).*more than one column"):
        align_genes(pd.concat([expression, expression[["GENE3"]]], axis=1), model)


def test_a_duplicate_of_a_gene_the_model_does_not_use_is_no_concern(model: TrainedModel) -> None:
    expression = expression_frame(small_screen())
    extra = pd.DataFrame(0.0, index=expression.index, columns=["EXTRA", "EXTRA"])
    aligned = align_genes(pd.concat([extra, expression], axis=1), model)
    pd.testing.assert_frame_equal(aligned, expression[list(model.genes)])
