"""The Transformer over genes: its settings, training, use and explanation."""
