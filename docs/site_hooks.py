"""Adds to the documentation site what is generated from the code: the asset reference and the asset graph."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tcell_assets.definitions import build_defs
from tcell_assets.exports.asset_reference import asset_graph_svg, asset_reference
from tcell_assets.installation.configuration import load_configuration


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add `assets.md` and `asset_graph.svg`."""
    with tempfile.TemporaryDirectory() as empty:
        definitions = build_defs(load_configuration({"TCELL_HOME": str(Path(empty))}))
        files.append(File.generated(config, "assets.md", content=asset_reference(definitions)))
        files.append(File.generated(config, "asset_graph.svg", content=asset_graph_svg(definitions)))
    return files
