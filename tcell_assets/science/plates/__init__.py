"""Plates as experiments: their geometry, the quality of their wells, and what position explains."""
