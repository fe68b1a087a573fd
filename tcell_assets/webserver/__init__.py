"""Dagster's own webserver behind a guard that keeps other web pages, other hosts and strangers out."""
