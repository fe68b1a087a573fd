"""The mathematics of the platform as plain functions on arrays and frames; never imports dagster."""
