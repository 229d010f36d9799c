"""Measurements of restorations, and what the network is compared with."""
