"""Time and memory of building, training, restoring, and of the page."""
