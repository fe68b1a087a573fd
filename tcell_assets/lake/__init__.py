"""Where results live: Parquet tables with lineage in the footer, and the model registry."""
