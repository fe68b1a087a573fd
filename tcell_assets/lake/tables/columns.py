"""Columns that several tables share, those of the targets and predictions among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tcell_assets.lake.schema import Column
from tcell_assets.targets import Target

LATENT_DIMENSION = 32
LATENT_COLUMNS = tuple(f"z_{index:02d}" for index in range(LATENT_DIMENSION))

WELL_ID = Column("well_id", "string", "`<batch>_<plate>_<well>`, unique in the screen")
MODEL_VERSION = Column("model_version", "string", "version of the model that made this row")
# The distances of `science/screen/distances.py`: a column of `dmso_distances` each, summed up in `metabolite_scores`.
DISTANCES = (
    Column("euclidean", "float64", "length of latent − DMSO centre"),
    Column("cosine", "float64", "1 − cosine of latent and DMSO centre (published definition)"),
    Column("cosine_centered", "float64", "the same after subtracting the training wells' mean latent"),
)
HEAD = Column("head", "string", "the output explained")


def target_columns(targets: Iterable[Target], role: str = "") -> Iterator[Column]:
    """Yield a column a target for what is known of it, described by what it means or, with a role, by what it is."""
    for target in targets:
        described = f"{role} {target.title}" if role else target.meaning
        yield Column(target.name, "bool" if target.is_binary else "float64", described, nullable=True)


def prediction_columns(
    targets: Iterable[Target], arrow_type: str, with_logit: bool = False
) -> Iterator[Column]:
    """Yield the columns of each target's prediction: a number, or the probability of a label after its log-odds."""
    for target in targets:
        if target.is_binary and with_logit:
            yield Column(target.logit, arrow_type, f"log-odds of {target.title}", nullable=True)
        unit = ", in its unit" if target.is_scaled else ""
        yield Column(target.prediction, arrow_type, f"predicted {target.predicted}{unit}", nullable=True)


# In the order in which they are shown.
IDENTIFIER_COLUMNS = (
    Column("pubchem_cid", "string", "PubChem compound, its number", nullable=True),
    Column("chebi", "string", "ChEBI, e.g. CHEBI:17596", nullable=True),
    Column("hmdb", "string", "Human Metabolome Database, e.g. HMDB0000195", nullable=True),
    Column("inchikey", "string", "InChIKey", nullable=True),
    Column("smiles", "string", "SMILES", nullable=True),
    Column("mechanism", "string", "mechanism or class, in the words of the plate map", nullable=True),
)
