"""Restorations laid before people who don't know which is whose, and their votes."""
