"""Answers over a whole screen: distances, hits, scores of metabolites, maps, gene sets."""
