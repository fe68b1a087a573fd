"""Which columns the report shows of wells and metabolites, those of the targets among them."""

from __future__ import annotations

from tcell_assets.targets import known_targets, labels


def well_fields() -> dict[str, tuple[str, ...]]:
    """What is shown of each well by table, in this order; a table that is not there is left out."""
    targets = known_targets()
    labelled = labels(targets)
    numbers = [target for target in targets if not target.is_binary]
    return {
        "well_predictions": (*(target.prediction for target in (*labelled, *numbers)), "split"),
        "dmso_distances": ("euclidean", "cosine_centered"),
        "well_metadata": (
            *(target.name for target in (*numbers, *labelled)), "batch", "plate", "row", "column", "is_edge",
            "is_dmso", "metabolite", "cluster", "sample_type", "concentration", "condition", "compound", "dose_um",
            "time_h", "cell_line", "donor", "context", "well_type",
        ),
        "well_qc": ("total_umi", "genes_seen", "rle_iqr", "dmso_correlation", "qc_pass", "qc_reason"),
    }  # fmt: skip


def metabolite_columns() -> tuple[str, ...]:
    """What is shown of each metabolite where no hits are called."""
    predicted = [
        target.prediction for target in known_targets() if target.is_evaluated and target.is_of_metabolites
    ]
    return (
        "rank", "metabolite", "n_wells", "mean_euclidean", "sd_euclidean", "mean_cosine_centered",
        *(f"{statistic}_{name}" for name in predicted for statistic in ("mean", "sd")),
    )  # fmt: skip
