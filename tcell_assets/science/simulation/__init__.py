"""Simulated screens with a known truth."""
