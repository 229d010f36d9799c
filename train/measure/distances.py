"""How far restored photographs are, as a set, from clean ones, by a classifier's features.

A set is far where its photographs look like no clean ones, whichever photograph is which: the right
question where colours are guessed. Both sets here are of the same photographs, number by number.
Counts say how often a photograph was drawn, for bootstrap intervals of the kernel distance; pairs
of a photograph with itself are never compared, or else the intervals would lie too high. The
Fréchet distance has none: it is larger of the fewer different photographs of a draw.
"""

from __future__ import annotations

import torch
from torch import Tensor


def compare_by_kernel(vectors: Tensor, true_vectors: Tensor) -> Tensor:
    """What each pair of photographs adds to the kernel distance.

    Args:
        vectors: (N, D), of the restored photographs.
        true_vectors: (N, D), of the clean ones in the same order.

    Returns:
        (N, N) float64, symmetric, with zeros for the pairs of a photograph with itself.

    Source:
        Gretton et al. 2012, "A kernel two-sample test", eq. 4: the terms h; they may be averaged
        without bias though the two sets are paired. Kernel: Bińkowski et al. 2018, "Demystifying
        MMD GANs", section 3.1: (x·y / D + 1)³.
    """
    ours, true = vectors.double(), true_vectors.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    across = kernel(ours, true)
    terms = kernel(ours, ours) + kernel(true, true) - across - across.T
    return terms.fill_diagonal_(0)


def summarise_kid(terms: Tensor, counts: Tensor) -> float:
    """Kernel distance of two sets, times 1000; its expectation doesn't depend on their size.

    It may come out negative where both sets are alike; of fewer than two photographs it is 0.

    Args:
        terms: (N, N), as `compare_by_kernel` returns them.
        counts: (N,), how often each photograph counts.

    Source:
        Bińkowski et al. 2018, "Demystifying MMD GANs", eq. 4, in the form for paired sets.
    """
    drawn = counts.double()
    num_pairs = float(drawn.sum().square() - drawn.square().sum())
    return 1000 * float(drawn @ terms @ drawn) / num_pairs if num_pairs else 0.0


def measure_frechet(vectors: Tensor, true_vectors: Tensor) -> float:
    """Fréchet distance of two sets, each taken for a normal distribution.

    It is biased, and grows as sets get smaller: compare only sets of equal size.

    Args:
        vectors: (N, D), of the restored photographs.
        true_vectors: (N, D), of the clean ones.

    Source:
        Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6; theirs are the
        features of an Inception network. The trace of the root is taken as the sum of the singular
        values of the product of both centred sets, which needs no root of a matrix.
    """
    spread, means = [], []
    for side in (vectors.double(), true_vectors.double()):
        mean = side.mean(0)
        means.append(mean)
        spread.append((side - mean) / len(side) ** 0.5)
    ours, true = spread
    if len(ours) > ours.shape[1]:  # the same singular values from smaller matrices
        ours, true = (torch.linalg.qr(side, mode="r").R for side in spread)
    root = torch.linalg.svdvals(ours @ true.T).sum()
    apart = (means[0] - means[1]).square().sum()
    return float(apart + ours.square().sum() + true.square().sum() - 2 * root)
