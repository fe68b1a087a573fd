"""Columns that several tables share, and the names of the target and latent columns."""

from __future__ import annotations

from tcell_assets.lake.schema import Column

LATENT_DIMENSION = 32
LATENT_COLUMNS = tuple(f"z_{index:02d}" for index in range(LATENT_DIMENSION))

SCORE_COLUMNS = ("tscore", "cytotrace", "pseudotime")
TARGET_COLUMNS = (*SCORE_COLUMNS, "is_activated", "activation_score")

WELL_ID = Column("well_id", "string", "`<batch>_<plate>_<well>`, unique in the screen")
MODEL_VERSION = Column("model_version", "string", "version of the model that made this row")
HEAD = Column("head", "string", "the output explained")
