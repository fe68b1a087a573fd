"""Tests of a running installation: its runs, their launch and recovery."""
