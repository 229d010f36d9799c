"""The differentiable twin of degrade.damage."""
