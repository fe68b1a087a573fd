"""Reads and validates what lies in `data/<batch>/`; nothing here knows Dagster or the network."""
