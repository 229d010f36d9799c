"""Bootstrap intervals of means over photographs, and of what methods differ by.

The unit that is drawn is the source photograph with all its variants, since variants of one
photograph resemble each other. All methods are summed up over the same draws, so the differences
between them are paired.

Source:
    Efron, Tibshirani 1993, "An introduction to the bootstrap", chapter 13 (percentile intervals).
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Row = TypeVar("Row")
Summary = Mapping[str, float]


@dataclass(frozen=True)
class Estimate:
    """A number and the interval that holds 95 % of its bootstrap draws.

    Attributes:
        value: Over all photographs.
        low: 2.5 % of the draws lie below; None where draws tell nothing.
        high: 2.5 % of the draws lie above; likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None


Estimates = dict[str, dict[str, Estimate]]
"""By method and metric."""


def draw_groups(groups: Sequence[str], num_draws: int, rng: np.random.Generator) -> list[list[int]]:
    """Draw with replacement as many groups as there are.

    Args:
        groups: The group of each row, for instance its source photograph.
        num_draws: How often.
        rng: Of the draws.

    Returns:
        For each draw the indices of the rows of its groups.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    rows = list(members.values())
    chosen = rng.integers(len(rows), size=(num_draws, len(rows)))
    return [[index for group in draw for index in rows[group]] for draw in chosen]


def bootstrap(
    rows: Mapping[str, Sequence[Row]],
    groups: Sequence[str],
    summarise: Callable[[list[Row]], Summary],
    *,
    ours: Sequence[str],
    num_draws: int,
    rng: np.random.Generator,
) -> tuple[Estimates, dict[str, Estimates]]:
    """Estimate every metric of every method, and how ours differ from each other method.

    Args:
        rows: Measurements by method; all have one row per photograph, in the same order.
        groups: The source photograph of each row.
        summarise: Metrics of a set of rows.
        ours: The methods that all others are compared with.
        num_draws: How often the photographs are drawn.
        rng: Of the draws.

    Returns:
        Estimates by method and metric; and by our method likewise, of ours minus the other.

    Raises:
        ValueError: If there are no rows, or the methods have different numbers of them.
    """
    if not groups or any(len(r) != len(groups) for r in rows.values()):
        raise ValueError("every method needs one row for each photograph, and at least one")

    def choose(rows: Sequence[Row], drawn: list[int] | None) -> Summary:
        return summarise(list(rows) if drawn is None else [rows[i] for i in drawn])

    summaries = {method: functools.partial(choose, r) for method, r in rows.items()}
    return bootstrap_sets(summaries, groups, ours=ours, num_draws=num_draws, rng=rng)


def bootstrap_sets(
    summaries: Mapping[str, Callable[[list[int] | None], Summary]],
    groups: Sequence[str],
    *,
    ours: Sequence[str],
    num_draws: int,
    rng: np.random.Generator,
) -> tuple[Estimates, dict[str, Estimates]]:
    """Like `bootstrap`, of methods that sum up photographs by their numbers.

    Args:
        summaries: By method, from numbers of photographs, which may repeat, to metrics; None
            stands for all. What is told of all alone has no interval: a maximum, or a distance that
            grows as there are fewer different photographs.
        groups: The source photograph of each.
        ours: The methods that all others are compared with.
        num_draws: How often the photographs are drawn.
        rng: Of the draws.

    Returns:
        As `bootstrap` does.
    """
    draws = draw_groups(groups, num_draws, rng)
    whole = {method: s(None) for method, s in summaries.items()}
    drawn = {method: [s(draw) for draw in draws] for method, s in summaries.items()}
    values = {
        method: {
            name: _enclose(value, [draw[name] for draw in drawn[method] if name in draw])
            for name, value in metrics.items()
        }
        for method, metrics in whole.items()
    }
    differences: dict[str, Estimates] = {}
    for our in ours:
        differences[our] = {
            method: {
                name: _enclose(
                    whole[our][name] - whole[method][name],
                    [
                        a[name] - b[name]
                        for a, b in zip(drawn[our], drawn[method], strict=True)
                        if name in a
                    ],
                )
                for name in whole[our]
                if name in whole[method]
            }
            for method in summaries
            if method not in ours
        }
    return values, differences


def _enclose(value: float, drawn: list[float]) -> Estimate:
    if not drawn:
        return Estimate(float(value))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))
