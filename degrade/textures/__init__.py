"""Textures of marks, grain and screens: painted from a seed, kept as packs, laid over prints."""

from degrade.textures.pack import Textures

__all__ = ["Textures"]
