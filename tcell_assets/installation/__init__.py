"""One running installation: its settings, what it should do next, its runs and their recovery."""
