"""Pairs as batches."""
