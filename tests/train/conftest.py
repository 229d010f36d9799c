"""Fixtures of tests that train."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from classifiers import hide_judge, install_classifier


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Train on one thread: photographs and networks are tiny."""
    num = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num)


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A classifier of random weights in place of the package's; none that judges."""
    install_classifier(monkeypatch, tmp_path)
    hide_judge(monkeypatch)
