"""The differentiable twin against the renderer, and its gradients."""

import numpy as np
import pytest
import torch
from damages import collate_damage

from degrade.damage.draw import draw_recipe
from degrade.damage.marks.layers import apply_marks
from degrade.damage.render import STAGES, expose_and_print, render_fields, without
from degrade.profile import list_profiles, load_profile
from degrade.textures import Textures
from train.damage.stages import Damage, redamage
from train.damage.twin import damage_of


@pytest.fixture(scope="module")
def textures():
    return Textures.load()


def soft_photo(side: int = 64) -> np.ndarray:
    """A colourful photograph drawn by code."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = 0.5 + 0.4 * np.sin(9 * x + 5 * y)
    return np.rint(np.stack([x, waves, 1 - y], axis=-1) * 255).astype(np.uint8)


def as_tensor(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(photo.transpose(2, 0, 1).astype(np.float32) / 255)[None]


def difference(photo, recipe, textures) -> float:
    """Mean difference of the twin from the renderer, in 1/255."""
    fields = render_fields(recipe, textures)
    expected = expose_and_print(photo, recipe, fields)
    apply_marks(expected, fields.marks)
    twin = redamage(as_tensor(photo), damage_of(recipe, textures))[0].numpy()
    return float(np.abs(expected - twin).mean() * 255)


@pytest.mark.parametrize("profile", sorted(list_profiles()))
def test_twin_follows_the_renderer(profile, textures):
    """For recipes of every profile the twin is within 1.5/255 mean of the renderer."""
    photo = soft_photo()
    for i in range(12):
        recipe = draw_recipe(
            load_profile(profile), textures, seed=3, key=str(i), variant=0, source_size=(64, 64),
            size_px=64,
        )  # fmt: skip
        assert difference(photo, recipe, textures) < 1.5


PROFILES = {"halftone": "press-print", "dyes": "faded-color-print", "uneven_tone": "badly-fixed"}
"""Where a stage happens, if not in badly-damaged."""


@pytest.mark.parametrize("stage", [s for s in STAGES if s not in ("scan", "copy")])
def test_twin_follows_the_renderer_on_each_stage_alone(stage, textures):
    """With a single stage left, the twin is within 1.5/255 mean; the stage does something."""
    photo = soft_photo()
    acted = 0
    for i in range(60):
        recipe = draw_recipe(
            load_profile(PROFILES.get(stage, "badly-damaged")), textures, seed=4, key=str(i),
            variant=0, source_size=(64, 64), size_px=64,
        )  # fmt: skip
        # Tone needs a silver image.
        keep = {stage, "emulsion"} if stage in ("tone", "uneven_tone") else {stage}
        recipe = without(recipe, frozenset(STAGES) - keep)
        if not getattr(recipe, stage):
            continue
        assert difference(photo, recipe, textures) < 1.5
        acted += 1
        if acted == 8:
            break
    assert acted >= 3


def test_no_damage_is_the_identity():
    """The neutral damage returns the photograph."""
    photo = as_tensor(soft_photo())
    assert torch.allclose(redamage(photo, Damage.none(1, 64, 64)), photo, atol=1e-6)


def test_batch_equals_its_photographs_one_by_one(textures):
    """Uniting damages into a batch changes nothing."""
    photo = as_tensor(soft_photo())
    damages = []
    for i in range(6):
        recipe = draw_recipe(
            load_profile("family-album"), textures, seed=8, key=str(i), variant=0,
            source_size=(64, 64), size_px=64,
        )  # fmt: skip
        damages.append(damage_of(recipe, textures))
    together = redamage(photo.expand(6, -1, -1, -1), collate_damage(damages))
    for i, damage in enumerate(damages):
        assert torch.allclose(together[i], redamage(photo, damage)[0], atol=1e-5)


@pytest.mark.parametrize("profile", ["badly-damaged", "faded-color-print"])
def test_gradients_match_finite_differences(profile, textures):
    """The derivative with respect to the photograph is right, through every stage at once."""
    torch.manual_seed(0)
    recipe = draw_recipe(
        load_profile(profile), textures, seed=2, key="g", variant=0, source_size=(12, 12),
        size_px=12,
    )  # fmt: skip
    damage = damage_of(recipe, textures)
    doubled = {
        name: value.double() if isinstance(value, torch.Tensor) else value
        for name, value in vars(damage).items()
    }
    damage = Damage(**doubled)
    # Away from the knots of the curves, where the derivative jumps.
    photo = (0.3 + 0.4 * torch.rand(1, 3, 12, 12, dtype=torch.float64)).requires_grad_()
    weights = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    (redamage(photo, damage) * weights).sum().backward()
    step, agreed = 1e-5, 0
    places = [(c, y, x) for c in range(3) for y in (2, 6, 9) for x in (3, 7, 10)]
    for c, y, x in places:
        values = []
        for sign in (1, -1):
            moved = photo.detach().clone()
            moved[0, c, y, x] += sign * step
            values.append(float((redamage(moved, damage) * weights).sum()))
        slope = (values[0] - values[1]) / (2 * step)
        agreed += abs(slope - float(photo.grad[0, c, y, x])) < 1e-4 + 1e-3 * abs(slope)
    assert float(photo.grad.abs().max()) > 1e-3
    assert agreed >= len(places) - 2


def test_sizes_that_do_not_fit_are_refused():
    """A damage of another size is an error that gives both."""
    with pytest.raises(ValueError, match="do not fit"):
        redamage(torch.zeros(1, 3, 8, 8), Damage.none(1, 16, 16))
