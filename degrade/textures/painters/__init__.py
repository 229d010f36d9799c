"""Painters of textures: each takes a generator and returns an 8-bit picture."""
