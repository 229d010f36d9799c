"""The estimate of a photograph's damage: a model, its start, and small least squares."""
