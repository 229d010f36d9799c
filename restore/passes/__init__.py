"""The way of one photograph through the network: windows, the two passes and their fusion."""
