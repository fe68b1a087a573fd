"""Tests of what runs by itself, day after day."""
