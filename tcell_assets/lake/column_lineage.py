"""Which columns a column is made from, for the UI's column lineage; gene columns are never listed."""

from __future__ import annotations

from tcell_assets.lake.tables.columns import DISTANCES, LATENT_COLUMNS
from tcell_assets.targets import known_targets, names_of

Source = tuple[str, str]
_LATENTS: tuple[Source, ...] = tuple(("latent_embeddings", name) for name in LATENT_COLUMNS)


def _copied(asset: str, *columns: str) -> dict[str, tuple[Source, ...]]:
    return {column: ((asset, column),) for column in columns}


def column_sources() -> dict[str, dict[str, tuple[Source, ...]]]:
    """The columns that each column is made from, by asset; a column whose sources are not known is left out."""
    return {
        "well_qc": _copied("well_metadata", "well_id"),
        "plate_qc": {
            **_copied("well_metadata", "batch", "plate"),
            "n_wells": (("well_metadata", "well_id"),),
            "n_dmso": (("well_metadata", "is_dmso"),),
            "n_positive_controls": (("well_metadata", "sample_type"),),
        },
        "well_predictions": {
            **_copied("well_metadata", "well_id", "metabolite", "is_dmso", *names_of(known_targets())),
            **_copied("well_qc", "qc_pass"),
        },
        "latent_embeddings": _copied("well_metadata", "well_id"),
        "adjusted_embeddings": {
            **_copied("latent_embeddings", "well_id", *LATENT_COLUMNS, "model_version"),
        },
        "dmso_distances": {
            **_copied("well_metadata", "well_id", "metabolite", "is_dmso"),
            **_copied("well_qc", "qc_pass"),
            **_copied("latent_embeddings", "model_version"),
            **dict.fromkeys([distance.name for distance in DISTANCES], _LATENTS),
            "reference_size": (("well_metadata", "is_dmso"), ("well_qc", "qc_pass")),
        },
        "metabolite_scores": {
            **_copied("well_metadata", "metabolite"),
            "n_wells": (("dmso_distances", "qc_pass"),),
            **{
                f"{statistic}_{column}": ((asset, column),)
                for asset, columns in (
                    ("dmso_distances", [distance.name for distance in DISTANCES]),
                    (
                        "well_predictions",
                        [target.prediction for target in known_targets() if target.is_of_metabolites],
                    ),
                )
                for column in columns
                for statistic in ("mean", "sd", "n")
            },
        },
        "gene_importance_ranking": {
            **_copied(
                "gene_importance", "gene", "signed_importance", "n_wells", "head", "method", "model_version"
            ),
            "importance": (("gene_importance", "importance"), ("gene_importance", "n_wells")),
            "rank": (("gene_importance", "importance"), ("gene_importance", "n_wells")),
        },
        "plate_similarity": {
            **dict.fromkeys(("batch_a", "batch_b"), (("well_metadata", "batch"),)),
            **dict.fromkeys(("plate_a", "plate_b"), (("well_metadata", "batch"), ("well_metadata", "plate"))),
        },
    }
