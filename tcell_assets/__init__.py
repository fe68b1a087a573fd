"""tcell_assets: a Dagster asset graph for DRUG-seq T-cell screens, from landed plates to scored metabolites."""
