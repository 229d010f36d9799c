"""Photographs as files: read and written at scan grade, with colour profiles and metadata."""
