"""A run of training, from its first step to its exported weights."""
