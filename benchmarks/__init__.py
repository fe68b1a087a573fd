"""Measurements that back the figures in the documentation; run from the root of a checkout."""
