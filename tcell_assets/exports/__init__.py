"""Writes what the lake holds in the formats other tools read."""
