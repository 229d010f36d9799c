"""Robust least squares within bounds, for a hundred unknowns and many thousand residuals."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_DAMPING_RANGE = (1e-5, 1e4)
_LEAST_GAIN = 2e-4
"""Share of the cost that a step must save for another to be tried."""


class Step(NamedTuple):
    """The cost around a point, as a parabola.

    Attributes:
        cost: At the point.
        slope: (n,) half the gradient.
        normal: (n, n) half the curvature, positive semi-definite.
    """

    cost: float
    slope: Doubles
    normal: Doubles


class Problem(Protocol):
    """What is to be made least."""

    low: Doubles
    """(n,) the least value of each unknown."""
    high: Doubles
    """(n,) the greatest."""

    def cost(self, values: Doubles) -> float:
        """The cost at a point, (n,)."""

    def expand(self, values: Doubles) -> Step:
        """The cost around a point, (n,)."""


def minimise(problem: Problem, values: Doubles, max_steps: int) -> Doubles:
    """Walk downhill by damped least squares.

    Each step solves one linear least-squares problem whose rows are weighted by how well the last
    step explained them. Unknowns that stand at a bound and would leave it stay out of the step.

    Args:
        problem: What is to be made least.
        values: (n,) where to begin.
        max_steps: At most so many steps.

    Returns:
        (n,) the best values found, within the bounds.

    Source:
        Marquardt, An algorithm for least-squares estimation of nonlinear parameters, 1963 (the
        damping); Holland and Welsch, Robust regression using iteratively reweighted
        least-squares, 1977 (the weights); Bertsekas, Projected Newton methods for optimization
        problems with simple constraints, 1982 (the bounds).
    """
    low, high = problem.low, problem.high
    values = values.clip(low, high)
    damping = 1e-2
    for _ in range(max_steps):
        around = problem.expand(values)
        scale = np.diag(around.normal) + 1e-9
        held = ((values <= low) & (around.slope > 0)) | ((values >= high) & (around.slope < 0))
        free = np.flatnonzero(~held)
        while damping <= _DAMPING_RANGE[1]:
            damped = around.normal[np.ix_(free, free)] + np.diag(damping * scale[free])
            moved = values.copy()
            moved[free] -= np.linalg.solve(damped, around.slope[free])
            moved = moved.clip(low, high)
            cost = problem.cost(moved)
            if cost < around.cost:
                break
            damping *= 10
        else:
            return values
        values = moved
        damping = max(damping / 10, _DAMPING_RANGE[0])
        if around.cost - cost < _LEAST_GAIN * around.cost:
            break
    return values
