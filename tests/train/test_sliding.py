"""Maxima and means around each pixel, by torch's own pooling."""

import pytest
import torch
import torch.nn.functional as F

from train.sliding import max_around, mean_around


@pytest.mark.parametrize("side", [1, 3, 5, 7, 15, 41])
@pytest.mark.parametrize("is_last", [False, True], ids=["planes", "channels last"])
def test_windows_are_those_of_pooling(side: int, is_last: bool) -> None:
    """At borders, too, where windows are cut off, also those wider than the picture."""
    x = torch.randn(2, 3, 20, 33)
    if is_last:
        x = x.contiguous(memory_format=torch.channels_last)
    reach = side // 2
    assert torch.equal(max_around(x, side), F.max_pool2d(x, side, 1, reach))
    expected = F.avg_pool2d(x, side, 1, reach, count_include_pad=False)
    torch.testing.assert_close(mean_around(x, side), expected, atol=2e-6, rtol=0)


def test_means_pass_gradients_on() -> None:
    """As pooling does."""
    x, y = (torch.arange(30.0).reshape(1, 1, 5, 6).requires_grad_() for _ in range(2))
    mean_around(x, 3).square().sum().backward()
    F.avg_pool2d(y, 3, 1, 1, count_include_pad=False).square().sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    torch.testing.assert_close(x.grad, y.grad)
