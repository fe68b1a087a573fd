"""Dagster assets, one file a stage of the flow: load, call science, return a result."""
