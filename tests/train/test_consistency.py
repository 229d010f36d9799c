"""The consistency loss: zero for the truth, however the photograph was cropped and mirrored."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from damages import collate_damage
from store_photos import build_small, fill_folder

from degrade.damage.marks.layers import MarkLayer, apply_marks
from degrade.damage.render import render
from degrade.textures import Textures
from train.damage.stages import Damage, redamage
from train.damage.twin import Damages, damage_of, lay_marks
from train.data.builds import Builds
from train.losses.consistency import measure_consistency_loss


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """Twelve pairs of 64 px."""
    folder = tmp_path_factory.mktemp("pairs")
    build_small(fill_folder(folder / "photos", 12), folder / "pairs", size_px=64)
    return Builds(folder / "pairs")


def batch_of(
    photos: list[np.ndarray], box: tuple[int, int, int, int], mirrored: bool
) -> torch.Tensor:
    """(N, 3, h, w) of a crop of (H, W, 3) photographs."""
    left, top, right, bottom = box
    stack = np.stack(photos)[:, top:bottom, left:right].transpose(0, 3, 1, 2)
    tensor = torch.from_numpy(np.ascontiguousarray(stack)).float() / 255
    return tensor.flip(-1) if mirrored else tensor


def load_damage(reader: Builds, geometry: list[int], size_px: int) -> Damage:
    """The damage of all pairs, every one cropped alike."""
    indices = np.arange(len(reader))
    return Damages(reader).load(indices, np.array([geometry] * len(reader)), size_px).unpack()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("box", [(0, 0, 64, 64), (16, 24, 48, 56)])
def test_clean_photographs_explain_their_damage(
    reader: Builds, box: tuple[int, int, int, int], mirrored: bool
) -> None:
    """Clean photographs, damaged again, are the damaged ones but for scan and JPEG."""
    textures, damaged = Textures.load(), []
    pairs = [reader[i] for i in range(len(reader))]
    for pair in pairs:
        # Framed again is framed; so the stored clean photograph can be rendered itself.
        again = render(pair.clean, pair.recipe, textures, skip=frozenset({"scan"}))
        damaged.append(again.damaged)
    damage = load_damage(reader, [*box, int(mirrored)], box[2] - box[0])
    clean = batch_of([pair.clean for pair in pairs], box, mirrored)
    target = batch_of(damaged, box, mirrored)
    right = float(measure_consistency_loss(clean, target, damage))
    wrong = float(measure_consistency_loss(clean.flip(-1), target, damage))
    # Blur at the border of a crop differs: the photograph goes on there.
    assert right < (1 if box[2] == 64 else 3) / 255
    assert wrong > 3 * right


def test_consistency_at_half_size_follows_the_shrunk_photograph(reader: Builds) -> None:
    """Shrunk photographs are explained by the shrunk damage better than by none."""
    pairs = [reader[i] for i in range(len(reader))]
    damage = load_damage(reader, [0, 0, 64, 64, 0], 32)
    halve = torch.nn.AvgPool2d(2)
    clean = halve(batch_of([pair.clean for pair in pairs], (0, 0, 64, 64), False))
    damaged = halve(batch_of([pair.damaged for pair in pairs], (0, 0, 64, 64), False))
    unexplained = float((clean - damaged).abs().mean())
    assert float(measure_consistency_loss(clean, damaged, damage)) < 0.35 * unexplained


@pytest.mark.parametrize("size_px", [32, 16])
def test_damage_of_a_crop_is_the_crop_of_the_damage(reader: Builds, size_px: int) -> None:
    """Cut, averaged and mirrored as planes, a batch's damages are those of the whole pairs."""
    whole = collate_damage([damage_of(reader.recipe(i), Textures.load()) for i in range(12)])
    ours = load_damage(reader, [16, 24, 48, 56, 1], size_px)
    shrink = torch.nn.AvgPool2d(32 // size_px)
    changed = {}
    for field in fields(Damage):
        value = getattr(whole, field.name)
        if field.name != "kernels" and value.ndim == 4:
            changed[field.name] = shrink(value[..., 24:56, 16:48]).flip(-1)
    # Marks lie upon each other in full size, and only then are they averaged.
    kernels = ours.kernels if size_px < 32 else {i: k.flip(-1) for i, k in whole.kernels.items()}
    theirs = replace(whole, **changed, sigma_px=whole.sigma_px * size_px / 32, kernels=kernels)
    photo = torch.rand(12, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    assert ours.kernels.keys() <= whole.kernels.keys()
    assert torch.allclose(redamage(photo, ours), redamage(photo, theirs), atol=1e-5)


@pytest.mark.parametrize("blends", ["over", "lighten", "mixed"])
def test_marks_laid_as_one_are_marks_laid_one_after_the_other(blends: str) -> None:
    """Opacity, ink and lower bound say what every layer does in turn."""
    rng = np.random.default_rng(0)
    names = {"over": ["over"] * 4, "lighten": ["lighten"] * 2,
             "mixed": ["over", "lighten", "over", "lighten", "over"]}[blends]  # fmt: skip
    print_ = rng.random((3, 6, 7), np.float32)
    layers = [
        MarkLayer(rng.integers(0, 256, (6, 7), np.uint8), tuple(rng.random(3).tolist()), name)
        for name in names
    ]
    expected = print_.copy()
    apply_marks(expected, layers)
    planes = lay_marks(layers, lambda field: field)
    laid = print_ * (1 - planes.get("opacity", 0)) + planes.get("ink", 0)
    assert np.allclose(np.maximum(laid, planes.get("brighter", 0)), expected, atol=0.01)
