"""How faithful a restoration is: the damage estimated, applied again, compared, and told."""
