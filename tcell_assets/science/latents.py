"""Tables of latents: which of their columns are the axes."""

from __future__ import annotations

import re

import pandas as pd


def latent_columns(latents: pd.DataFrame) -> list[str]:
    """Names of the latent axes `z_00, z_01, …` of a table, in their order."""
    axes = [str(name) for name in latents.columns if re.fullmatch(r"z_\d+", str(name))]
    return sorted(axes, key=lambda name: int(name[2:]))
