"""A photograph's metadata: one record, read from any container and written into any."""
