"""Kills, full disks, hostile folders: what must never lose or mix data."""
