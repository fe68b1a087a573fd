"""How good the model is on metabolites it never saw, beside plainer models."""
