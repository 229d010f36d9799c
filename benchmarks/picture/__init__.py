"""How good restorations are, told by figures."""
