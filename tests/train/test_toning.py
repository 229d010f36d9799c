"""Photographs without colours: toning says nothing about the colours that they are given."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from restore.engine import ModelMetadata, Network
from restore.ycc import measure_own_color
from train.network.config import GeneratorConfig
from train.network.export import export_generator
from train.network.generator import Generator
from train.network.global_branch import adjust_by_grid
from train.network.toning import SATURATION, make_neutral, measure_toning, replace_colors

SMALL = GeneratorConfig(
    widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1,), tone_scale=0, global_px=64
)
LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]


def draw_photo(num_bands: int) -> Tensor:
    """(1, 3, 64, 96) smooth and random: grey, or of three bands of their own."""
    rng = np.random.default_rng(5)
    coarse = rng.random((6, 9, num_bands), dtype=np.float32)
    photo = cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_LINEAR).reshape(64, 96, num_bands)
    return torch.from_numpy(0.15 + 0.7 * photo).permute(2, 0, 1)[None].expand(1, 3, 64, 96)


def tone_photo(grey: Tensor, hue: Tensor) -> Tensor:
    """The same luma with a hue, strongest in the midtones."""
    hue = hue[:, None, None]
    return grey + (hue - (hue * LUMA).sum(0)) * grey * (1 - grey)


def make_generator() -> Generator:
    """A generator whose global branch changes much."""
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    assert generator.global_branch is not None
    torch.nn.init.normal_(generator.global_branch.grid_out.weight, std=0.05)
    return generator


def split(photo: Tensor) -> tuple[Tensor, Tensor]:
    """Luma and chroma."""
    luma = (photo * LUMA).sum(1, keepdim=True)
    return luma, photo - luma


@pytest.mark.parametrize("toning", [0.0, 0.4, 1.0])
def test_united_grid_takes_luma_from_one_and_chroma_from_the_other(toning: float) -> None:
    """Laid over a photograph, it gives what both give and are mixed to, to float noise."""
    photo = draw_photo(3)
    own, other = torch.rand(2, 1, 12, 8, 12, generator=torch.Generator().manual_seed(1)) - 0.5
    luma, own_chroma = split(adjust_by_grid(photo, own))
    _, chroma = split(adjust_by_grid(make_neutral(photo), other))
    expected = luma + (1 - toning) * own_chroma + toning * SATURATION * chroma
    united = replace_colors(own, other, torch.tensor([toning]))
    torch.testing.assert_close(adjust_by_grid(photo, united), expected, rtol=0, atol=2e-6)


def test_any_toning_is_given_the_colours_of_the_neutral_photograph() -> None:
    """Sepia, olive and blue prints get the same chroma; their luma is settled by their own look."""
    generator, grey = make_generator(), draw_photo(1)
    hues = torch.tensor([[0.7, 0.5, 0.3], [0.5, 0.6, 0.2], [0.3, 0.5, 0.8]])
    with torch.inference_mode():
        _, expected = split(generator.adjust_globally(grey))
        assert expected.abs().max() > 0.02
        for hue in hues:
            toned = tone_photo(grey, hue)
            luma, chroma = split(generator.adjust_globally(toned))
            torch.testing.assert_close(chroma, expected, rtol=0, atol=1e-5)
            grid = generator._look_twice(toned)
            own_luma, own_chroma = split(adjust_by_grid(toned, grid))
            torch.testing.assert_close(luma, own_luma, rtol=0, atol=1e-5)
            assert (own_chroma - expected).abs().max() > 0.01


def test_photographs_of_a_batch_are_told_apart() -> None:
    """A colour photograph keeps what the branch made of it beside a toned one."""
    generator, photo = make_generator(), draw_photo(3)
    toned = tone_photo(draw_photo(1), torch.tensor([0.7, 0.5, 0.3]))
    both = torch.cat([photo, toned])
    assert measure_toning(both).tolist() == [0, 1]
    with torch.inference_mode():
        alone = [generator.adjust_globally(each[None]) for each in both]
        adjusted = generator.adjust_globally(both)
        expected = adjust_by_grid(photo, generator._look_twice(photo))
    torch.testing.assert_close(adjusted, torch.cat(alone), rtol=0, atol=1e-5)
    torch.testing.assert_close(alone[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_close_look_repairs_photographs_without_colors_neutral(training: bool) -> None:
    """Where a colour network lays colours afterwards: in training as in use, in both engines."""
    torch.manual_seed(0)
    close_look = replace(
        SMALL, marks_widths=(8, 8), marks_blocks=(1, 1), color_encoder="lite0", color_px=64
    )
    generator = Generator(close_look).train(training)
    assert generator.global_branch is not None
    torch.nn.init.normal_(generator.global_branch.grid_out.weight, std=0.05)
    grey = draw_photo(1)
    sepia, colored = tone_photo(grey, torch.tensor([0.7, 0.5, 0.3])), draw_photo(3)
    with torch.no_grad():
        luma, chroma = split(generator.adjust_globally(sepia))
        torch.testing.assert_close(chroma, torch.zeros_like(chroma), atol=1e-5, rtol=0)
        assert (luma - split(sepia)[0]).abs().max() > 0.01
        assert split(generator.adjust_globally(colored))[1].abs().max() > 0.05


def test_exported_close_look_makes_the_same_neutral(tmp_path: Path) -> None:
    """The grid that `restore` finds for a toned photograph takes all chroma away."""
    torch.manual_seed(0)
    close_look = replace(
        SMALL, marks_widths=(8, 8), marks_blocks=(1, 1), color_encoder="lite0", color_px=64
    )
    generator = Generator(close_look).eval()
    assert generator.global_branch is not None
    torch.nn.init.normal_(generator.global_branch.grid_out.weight, std=0.05)
    export_generator(tmp_path / "c.zip", generator, ModelMetadata("c"), precision="fp32")
    network = Network.load(tmp_path / "c.zip", "cpu", num_threads=1)
    assert network.repairs_neutral
    sepia = tone_photo(draw_photo(1), torch.tensor([0.7, 0.5, 0.3]))
    grid = network.look(sepia[0].permute(1, 2, 0).numpy().copy())
    with torch.no_grad():
        expected = generator.find_grid(sepia)
    assert expected is not None
    np.testing.assert_allclose(grid, expected[0].numpy(), atol=2e-4)


def test_both_measures_of_own_color_agree() -> None:
    """That of tensors and that of arrays: of grey, toned, colourful and all but colourless ones."""
    grey, colored = draw_photo(1), draw_photo(3)
    hue = torch.tensor([0.7, 0.5, 0.3])
    photos = [grey, tone_photo(grey, hue), colored, torch.zeros_like(grey)]
    photos += [torch.lerp(grey, colored, share) for share in (0.04, 0.07, 0.08, 0.2)]
    stripe = torch.zeros(3, 64, 96)
    stripe[0, :8] = stripe[2, 30:40] = 0.08
    photos += [grey + strength * stripe for strength in (0.3, 1.0)]
    expected = [measure_own_color(photo[0].permute(1, 2, 0).numpy()) for photo in photos]
    assert min(expected) == 0
    assert max(expected) == 1
    assert any(0.1 < own < 0.4 for own in expected)
    found = measure_toning(torch.cat(photos))
    wanted = [max(0.0, 1 - 2 * own) for own in expected]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4)
