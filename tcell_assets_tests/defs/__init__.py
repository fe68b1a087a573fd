"""Tests of what Dagster loads, beside its assets."""
