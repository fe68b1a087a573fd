"""AnnData as `.h5ad` or `.zarr`: raw counts in a layer, in X or in `.raw` are taken before scaled values."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tcell_assets.landing.columns import recognise_columns
from tcell_assets.landing.files import read_file_bytes
from tcell_assets.landing.formats import MatrixFormat, Source
from tcell_assets.landing.gene_names import GENE_ID_HEADERS, names_of_genes
from tcell_assets.landing.guarded import Content, guarded, has_packages, load_values, run_reader
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import TextTable
from tcell_assets.targets import spelling

COUNT_LAYER = "counts"
# How pipelines call a layer of raw counts. Spliced and unspliced counts are parts of them and not taken.
COUNT_LAYERS = (COUNT_LAYER, "count", "raw_counts", "rawcounts", "raw", "umi", "umis", "umi_counts")
READER = "tcell_assets.landing.formats.annotated:read_in_process"
STORE_SUFFIX = ".zarr"


def matrix_of(name: str) -> str | None:
    """The ``.h5ad`` file itself, or the ``.zarr`` folder that a file lies in."""
    parts = name.split("/")
    for number, part in enumerate(parts[:-1], start=1):
        if part.endswith(STORE_SUFFIX):
            return "/".join(parts[:number])
    return name if name.endswith(".h5ad") else None


def plate_folder_of(matrix: str) -> str:
    """The folder that the file or store lies in."""
    return matrix.rpartition("/")[0]


def read(
    source: Source, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> WellMatrix | None:
    """Read an AnnData file or store; its ``obs`` may serve as plate map.

    A layer of counts is taken first, then X where it holds counts, then ``.raw``; X whatever it holds where the
    settings state VST.
    """
    packages = ["anndata", "zarr"] if source.name.endswith(STORE_SUFFIX) else ["anndata"]
    if not has_packages(source.name, packages, "anndata", problems):
        return None
    options = {"takes_counts": settings.value_kind != "vst"}
    if source.name.endswith(STORE_SUFFIX):
        with tempfile.TemporaryDirectory() as scratch:
            content = _read_store(source, Path(scratch), options, settings, problems)
            return (
                None
                if content is None
                else _matrix(source, content, Path(scratch), settings, problems, notes)
            )
    with guarded(source.only, "AnnData file", READER, options, settings.limits, problems) as result:
        return None if result is None else _matrix(source, *result, settings, problems, notes)


def _read_store(
    source: Source, scratch: Path, options: Content, settings: LandingSettings, problems: ProblemCollector
) -> Content | None:
    """Read a Zarr store from a private copy, so that what is hashed is what is parsed in all of its files."""
    before, total = problems.total, 0
    store = scratch / "store.zarr"
    for name, file in source.files.items():
        raw = b"" if file.bytes == 0 else read_file_bytes(file, settings.limits, problems)
        if raw is None:
            return None
        total += len(raw)
        if total > settings.limits.max_unpacked_bytes:
            found = f"has more than {settings.limits.max_unpacked_bytes:,} bytes"
            mend = "If the store is meant, raise limits.max_unpacked_bytes"
            problems.add("files too large", source.name, "", found, mend)
            return None
        target = store / name.removeprefix(f"{source.name}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
    content = run_reader("AnnData store", READER, str(store), scratch, options, settings.limits)
    if "problem" in content:
        kind, found, mend = content["problem"]
        problems.add(kind, source.name, "", found, mend)
    return None if problems.total > before else content


def _matrix(
    source: Source,
    content: Content,
    out: Path,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> WellMatrix | None:
    names, genes = content["names"], content["genes"]
    values = load_values(source.name, out, names, genes, settings.limits, problems)
    if values is None:
        return None
    if content["source"] not in ("X", f"layers/{COUNT_LAYER}"):
        place = ".raw" if content["source"] == "raw/X" else f"layers[{content['source'].partition('/')[2]!r}]"
        notes.append(f"{source.name}: X holds no counts, so the counts in {place} were taken")
    genes, n_shared, _ = names_of_genes(content["gene_ids"] or genes, genes)
    if n_shared and content["gene_ids"]:
        notes.append(
            f"{source.name}: {n_shared} genes share their symbol with another and are called by their id"
        )
    kinds = content["feature_types"]
    left_out: dict[str, list[str]] = {}
    if "Gene Expression" in kinds:
        kept = [column for column, kind in enumerate(kinds) if kind == "Gene Expression"]
        for gene, kind in zip(genes, kinds, strict=True):
            if kind != "Gene Expression":
                left_out.setdefault(f"features of type {kind}", []).append(gene)
        genes, values = [genes[column] for column in kept], values[:, kept]
    return WellMatrix(
        source.name,
        source.plate,
        names,
        genes,
        values,
        first_row=1,
        stated="counts" if content["source"].startswith("layers/") else None,
        left_out=left_out,
        observations=_observations(source.name, content),
    )


def _observations(file: str, content: Content) -> TextTable:
    """``obs`` as text; its names serve as well_id where no column names the well."""
    header, columns = list(content["header"]), list(content["columns"])
    roles = recognise_columns(tuple(header), {})
    if "well" not in roles and "well_id" not in roles and not {"row", "column"} <= roles.keys():
        header.insert(0, "well_id")
        columns.insert(0, content["names"])
    return TextTable(file, tuple(header), [list(row) for row in zip(*columns, strict=True)], first_row=1)


def read_in_process(path: Path, out: Path, max_bytes: int, options: Content) -> Content:
    """Read a file or store and save its values; runs in the process that `guarded` starts.

    Returns:
        ``names, genes, gene_ids, feature_types, header, columns`` (``obs`` as text) and ``source``, where the values
        come from; or a ``problem``: kind, finding and mend.
    """
    import anndata.io

    from tcell_assets.landing.guarded_process import fault_of_store, save_values

    if path.is_dir():
        import zarr

        store: Any = zarr.open_group(str(path), mode="r")
        problem = _fault_of_zarr(store, max_bytes) or _missing_pieces(store)
    else:
        import h5py

        store = h5py.File(path, "r")
        problem = fault_of_store(store, max_bytes)
    problem = problem or _missing_parts(store)
    if problem:
        return {"problem": problem}
    observations = anndata.io.read_elem(store["obs"])
    source, values = _values(store, bool(options["takes_counts"]), anndata.io.read_elem)
    variables = anndata.io.read_elem(store["raw/var" if source == "raw/X" else "var"])
    save_values(out, values)
    header = [str(column) for column in observations.columns]
    return {
        "names": [str(name) for name in observations.index],
        "genes": [str(name) for name in variables.index],
        "gene_ids": _text_column(variables, GENE_ID_HEADERS),
        "feature_types": _text_column(variables, frozenset({"featuretypes", "featuretype"})),
        "header": header,
        "columns": [_as_text(observations.iloc[:, at]) for at in range(len(header))],
        "source": source,
    }


def _values(store: Any, takes_counts: bool, read_element: Any) -> tuple[str, Any]:
    """Where the values to take lie, and the values."""
    from tcell_assets.landing.value_kinds import are_counts

    def stored(values: Any) -> Any:
        return values if isinstance(values, np.ndarray) else values.data

    layers = store.get("layers", {})
    if not takes_counts:
        return "X", read_element(store["X"])
    for layer in COUNT_LAYERS:
        name = next((name for name in layers if str(name).lower() == layer), None)
        if name is None:
            continue
        values = read_element(store[f"layers/{name}"])
        # A layer called counts is believed; of the others only what holds counts is taken.
        if layer == COUNT_LAYER or are_counts(stored(values)):
            return f"layers/{name}", values
    values = read_element(store["X"]) if "X" in store else None
    if values is not None and are_counts(stored(values)):
        return "X", values
    if "raw" in store and "raw/X" in store:
        raw = read_element(store["raw/X"])
        if are_counts(stored(raw)):
            return "raw/X", raw
    return "X", values


def _missing_parts(store: Any) -> tuple[str, str, str] | None:
    missing = [name for name in ("obs", "var") if name not in store]
    layers = store.get("layers", {})
    has_values = "X" in store or any(str(name).lower() in COUNT_LAYERS for name in layers)
    if missing or not has_values:
        found = f"has no {' and no '.join(missing) or 'X'}"
        return "damaged files", found, "Write it with AnnData.write_h5ad or write_zarr"
    return None


def _fault_of_zarr(store: Any, max_bytes: int) -> tuple[str, str, str] | None:
    import zarr

    claimed, groups = 0, [store]
    while groups:
        group = groups.pop()
        for name in group:
            member = group[name]
            if isinstance(member, zarr.Group):
                groups.append(member)
            else:
                claimed += int(np.prod(member.shape)) * member.dtype.itemsize
    if claimed > max_bytes:
        found = f"claims {claimed:,} bytes of values"
        return "files too large", found, "If the file is meant, raise limits.max_unpacked_bytes"
    return None


def _missing_pieces(store: Any) -> tuple[str, str, str] | None:
    """Zarr reads a piece that is not there as zeros, which a copy that was cut short must not become."""
    import zarr

    for name in ("X", "raw/X", *(f"layers/{layer}" for layer in store.get("layers", {}))):
        if name not in store:
            continue
        member = store[name]
        parts = {"": member} if isinstance(member, zarr.Array) else dict(member.arrays())
        for part, array in parts.items():
            if array.size and array.nchunks_initialized < array.nchunks:
                found = (
                    f"lacks {array.nchunks - array.nchunks_initialized} of {array.nchunks} pieces of "
                    f"{name}{'/' if part else ''}{part}"
                )
                mend = "Copy the store again, or write X as a sparse matrix where whole pieces are zeros"
                return "damaged files", found, mend
    return None


def _text_column(variables: Any, spellings: frozenset[str]) -> list[str]:
    name = next((name for name in variables.columns if spelling(str(name)) in spellings), None)
    return [] if name is None else _as_text(variables[name])


def _as_text(column: Any) -> list[str]:
    import pandas as pd

    return ["" if pd.isna(cell) else str(cell) for cell in column]


FORMAT = MatrixFormat("AnnData", matrix_of, plate_folder_of, read, holds_wells=True)
