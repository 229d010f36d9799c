"""The consistency loss: zero for the truth, however the photograph was cropped and mirrored."""

import numpy as np
import pytest
import torch
from store_photos import build_small, fill_folder

from degrade import PairReader
from degrade.render import render
from degrade.textures import Textures
from train.consistency import Consistency, measure_consistency


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PairReader:
    """Twelve pairs of 64 px."""
    folder = tmp_path_factory.mktemp("pairs")
    build_small(fill_folder(folder / "photos", 12), folder / "pairs", size_px=64)
    return PairReader(folder / "pairs")


def batch_of(
    photos: list[np.ndarray], box: tuple[int, int, int, int], mirrored: bool
) -> torch.Tensor:
    """(N, 3, h, w) of a crop of (H, W, 3) photographs."""
    left, top, right, bottom = box
    stack = np.stack(photos)[:, top:bottom, left:right].transpose(0, 3, 1, 2)
    tensor = torch.from_numpy(np.ascontiguousarray(stack)).float() / 255
    return tensor.flip(-1) if mirrored else tensor


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("box", [(0, 0, 64, 64), (16, 24, 48, 56)])
def test_clean_photographs_explain_their_damage(
    reader: PairReader, box: tuple[int, int, int, int], mirrored: bool
) -> None:
    """Clean photographs, damaged again, are the damaged ones but for scan and JPEG."""
    textures, damaged = Textures.load(), []
    pairs = [reader[i] for i in range(len(reader))]
    for pair in pairs:
        # Framed again is framed; so the stored clean photograph can be rendered itself.
        again = render(pair.clean, pair.recipe, textures, skip=frozenset({"scan"}))
        damaged.append(again.damaged)
    geometry = torch.tensor([[*box, int(mirrored)]] * len(pairs))
    damage = Consistency(reader).load_damage(torch.arange(len(pairs)), geometry, box[2] - box[0])
    clean = batch_of([pair.clean for pair in pairs], box, mirrored)
    target = batch_of(damaged, box, mirrored)
    right = float(measure_consistency(clean, target, damage))
    wrong = float(measure_consistency(clean.flip(-1), target, damage))
    # Blur at the border of a crop differs: the photograph goes on there.
    assert right < (1 if box[2] == 64 else 3) / 255
    assert wrong > 3 * right


def test_consistency_at_half_size_follows_the_shrunk_photograph(reader: PairReader) -> None:
    """Shrunk photographs are explained by the shrunk damage better than by none."""
    pairs = [reader[i] for i in range(len(reader))]
    geometry = torch.tensor([[0, 0, 64, 64, 0]] * len(pairs))
    damage = Consistency(reader).load_damage(torch.arange(len(pairs)), geometry, 32)
    halve = torch.nn.AvgPool2d(2)
    clean = halve(batch_of([pair.clean for pair in pairs], (0, 0, 64, 64), False))
    damaged = halve(batch_of([pair.damaged for pair in pairs], (0, 0, 64, 64), False))
    unexplained = float((clean - damaged).abs().mean())
    assert float(measure_consistency(clean, damaged, damage)) < 0.35 * unexplained
