"""The two local networks: what both promise, and what each does alone."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from classifiers import install_classifier
from torch import nn
from write_models import tiny_generator

from restore.engine import ModelMetadata, Network
from restore.engine.model_file import default_model_path
from restore.engine.network import weigh_cells
from train.config.losses import LossWeights
from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.errors import TrainError
from train.network.checkpoint import load_generator, save_generator
from train.network.encoder import ClassifierEncoder
from train.network.export import export_generator
from train.network.generator import Generator, GeneratorConfig
from train.network.global_branch import adjust_by_grid
from train.network.layers import NormedConv, fold_norms, unfold_norms
from train.network.local.close_look import MarksNetwork, unfold
from train.network.local.fill import fill_evenly
from train.network.pretrained import load_classifiers
from train.run.callbacks import Average
from train.run.learner import build_networks, choose_learners
from train.run.start import start_from
from train.run.state import Position

UNET = GeneratorConfig(
    widths=(8, 16, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1), marks_width=8, tone_scale=1
)
CLOSE_LOOK = GeneratorConfig(
    widths=(8, 16),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    tone_scale=0,
    marks_widths=(8, 8),
    marks_blocks=(1, 1),
)
# A close look whose marks network is told by a classifier what is in the picture.
TOLD = replace(
    CLOSE_LOOK,
    widths=(8, 8, 16),
    encoder_blocks=(1, 1, 1),
    decoder_blocks=(1, 1),
    marks_widths=(8, 8, 8),
    marks_blocks=(1, 1, 1),
    marks_encoder="lite0",
)
# A close look that takes grain away by a filter first.
SHRUNK = replace(
    TOLD,
    widths=(8, 8, 8, 16),
    encoder_blocks=(1, 1, 1, 1),
    decoder_blocks=(1, 1, 1),
    marks_encoder="",
    shrunk_bands=2,
)
# A close look whose refining network has a scale at native resolution, too.
NATIVE = replace(CLOSE_LOOK, native_width=4)
# The U-Net that has the close look's sizes from half resolution down.
BEFORE = GeneratorConfig(
    widths=(4, 8, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1), marks_width=4, tone_scale=1
)


@pytest.fixture(params=[UNET, CLOSE_LOOK, NATIVE], ids=["unet", "close look", "native"])
def config(request: pytest.FixtureRequest) -> GeneratorConfig:
    """One network after the other."""
    chosen: GeneratorConfig = request.param
    return chosen


def make_shaken_generator(config: GeneratorConfig) -> Generator:
    """A generator whose every weight matters, as after training, and that finds some marks."""
    torch.manual_seed(0)
    generator = Generator(config)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for name, statistic in generator.named_buffers():
            if "running" in name:
                statistic.add_(0.1 * torch.rand_like(statistic))
        if config.has_close_look:
            generator.close_look.marks_network.out.bias.fill_(-2.5)
            generator.close_look.marks_network.out.weight.mul_(60.0)
        else:
            generator.marks_out.bias.fill_(0.0)
    return generator.eval()


def test_untrained_generator_is_the_identity(config: GeneratorConfig) -> None:
    """Before training the photograph comes back bit by bit, and no marks are found."""
    photo = torch.rand(2, 3, 64, 96)
    restored, marks_logits = Generator(config)(photo)
    assert torch.equal(restored, photo)
    assert marks_logits.shape == (2, 1, 64, 96)
    assert bool((torch.sigmoid(marks_logits) < 0.05).all())


@pytest.mark.parametrize("size", [(4, 4), (8, 20), (64, 32)])
def test_generator_accepts_any_multiple_of_its_alignment(
    config: GeneratorConfig, size: tuple[int, int]
) -> None:
    """Height and width are free."""
    generator = make_shaken_generator(config)
    assert generator.alignment == 4
    restored, marks_logits = generator(torch.rand(1, 3, *size))
    assert restored.shape == (1, 3, *size)
    assert marks_logits.shape == (1, 1, *size)
    assert restored.dtype == marks_logits.dtype == torch.float32


def test_generator_refuses_other_sizes(config: GeneratorConfig) -> None:
    """A size that can't be halved often enough is named."""
    with pytest.raises(ValueError, match="multiples of 4, got 30x32"):
        Generator(config)(torch.rand(1, 3, 30, 32))


def test_tile_equals_whole_away_from_its_edges(config: GeneratorConfig) -> None:
    """A tile that starts at a multiple of the alignment gives what the whole photograph gives."""
    generator = make_shaken_generator(config)
    photo = torch.rand(1, 3, 160, 192)
    with torch.no_grad():
        whole = generator(photo)
        tile = generator(photo[..., 16:144, 40:168])
    margin = 48 if config.has_close_look else 32
    for from_whole, from_tile in zip(whole, tile, strict=True):
        expected = from_whole[..., 16 + margin : 144 - margin, 40 + margin : 168 - margin]
        found = from_tile[..., margin:-margin, margin:-margin]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("are_known", [False, True], ids=["found marks", "known marks"])
@pytest.mark.parametrize("size", [(32, 48), (64, 32), (224, 64)])
def test_strips_give_what_the_whole_gives(
    config: GeneratorConfig, size: tuple[int, int], are_known: bool
) -> None:
    """What is computed at native resolution may run on a few rows at a time."""
    generator = make_shaken_generator(config)
    photo = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
    known = torch.zeros(2, 1, *size)
    known[:, :, 14:18, 3:9] = 1
    told = known if are_known else None
    whole = generator(photo, told)
    generator.num_strips = 4
    for found, expected in zip(generator(photo, told), whole, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_photograph_does_not_depend_on_its_batch(config: GeneratorConfig) -> None:
    """No statistics are taken over a batch."""
    generator = make_shaken_generator(config)
    photos = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            generator(photos)[0][1:2], generator(photos[1:2])[0], atol=1e-6, rtol=0
        )


def test_every_parameter_learns(config: GeneratorConfig) -> None:
    """After training has begun, a gradient reaches every parameter."""
    generator = make_shaken_generator(config).train()
    restored, marks_logits = generator(torch.rand(2, 3, 32, 32))
    (restored.square().mean() + marks_logits.square().mean()).backward()
    silent = [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_copy_of_a_generator_is_its_own(config: GeneratorConfig) -> None:
    """The average, a copy of what is trained, runs on its own weights."""
    generator = make_shaken_generator(config)
    photo = torch.rand(1, 3, 32, 32)
    copied = copy.deepcopy(generator)
    with torch.no_grad():
        before = copied(photo)[0]
        for parameter in generator.parameters():
            parameter.zero_()
        assert torch.equal(copied(photo)[0], before)
        copied.load_state_dict(generator.state_dict())
        assert torch.equal(copied(photo)[0], generator(photo)[0])


def test_config_survives_its_dictionary(config: GeneratorConfig) -> None:
    """`from_dict` reads what `to_dict` writes."""
    assert GeneratorConfig.from_dict(config.to_dict()) == config


def test_default_generator_has_at_most_12_million_parameters() -> None:
    """The default size keeps to its bound."""
    with torch.device("meta"):
        num = sum(p.numel() for p in Generator().parameters())
    assert 8_000_000 < num <= 12_000_000


def test_known_marks_hide_what_they_cover_from_the_unet() -> None:
    """What lies under a mark that the caller knows has no say in the full-size features."""
    config = GeneratorConfig(
        widths=(8,) * 5,
        encoder_blocks=(0,) * 5,
        decoder_blocks=(0,) * 4,
        marks_width=8,
    )
    generator = Generator(config)
    with torch.no_grad():
        generator.paint_out.weight.normal_()
        generator.up[0].weight.zero_()  # leaves the skip connection as the only way
        generator.up[0].bias.zero_()
        generator.stem.weight[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    photo = torch.full((1, 3, 32, 32), 0.5)
    scratched = photo.clone()
    scratched[..., 14:16, 14:16] = 1.0
    marks = torch.zeros(1, 1, 32, 32)
    marks[..., 14:16, 14:16] = 1.0
    with torch.no_grad():
        seen = generator(scratched)[0]
        hidden = generator(scratched, marks)[0]
        expected = generator(photo, marks)[0]
    assert not torch.allclose(seen, expected, atol=1e-3)
    torch.testing.assert_close(hidden, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": [16]}, "2 to 8 scales"),
        ({"encoder_blocks": [1]}, "encoder_blocks"),
        ({"decoder_blocks": [1, 1, 1]}, "decoder_blocks"),
        ({"widths": [8, 16, 2000]}, "4..1024"),
        ({"marks_width": 1}, "4..1024"),
        ({"tone_scale": 2}, "tone_scale"),
        ({"encoder_blocks": [1, 1, 99]}, "0..16"),
        ({"marks_width": 8.5}, "whole numbers"),
        ({"widths": "wide"}, "whole numbers"),
        ({"depth": 3}, "unknown or missing depth"),
        ({"encoder": "resnet34"}, "encoders other than plain are gone"),
    ],
)
def test_config_refuses_what_describes_no_network(change: dict[str, object], message: str) -> None:
    """A wrong size is refused with a word that names it."""
    with pytest.raises(ValueError, match=message):
        GeneratorConfig.from_dict({**UNET.to_dict(), **change})


def test_config_of_an_older_file_is_read() -> None:
    """Files of version 0.1 name their encoder."""
    assert GeneratorConfig.from_dict({**UNET.to_dict(), "encoder": "plain"}) == UNET


def test_weights_of_before_keep_their_names() -> None:
    """The U-Net's layers are the generator's own, as in files that were written before."""
    names = set(Generator(BEFORE).state_dict())
    assert {"stem.weight", "encoder.0.0.norm.weight", "fill.1", "paint_norm.bias"} <= names
    assert not any(name.startswith("local") for name in names)
    generator, info = load_generator(default_model_path())
    assert set(info.metadata.config) >= {"widths", "marks_width", "tone_scale"}
    assert dict(info.metadata.config).items() <= generator.config.to_dict().items()


def test_config_says_nothing_of_an_encoder_that_is_not_there() -> None:
    """Files of a close look that is told nothing are the same as before there was one."""
    assert "marks_encoder" not in CLOSE_LOOK.to_dict()
    assert TOLD.to_dict()["marks_encoder"] == "lite0"
    assert GeneratorConfig.from_dict(TOLD.to_dict()) == TOLD
    assert "shrunk_bands" not in TOLD.to_dict()
    assert GeneratorConfig.from_dict(SHRUNK.to_dict()) == SHRUNK
    assert "native_width" not in SHRUNK.to_dict()


def test_config_says_nothing_of_a_close_look_that_is_not_there() -> None:
    """What is written of the U-Net is what earlier versions read."""
    assert not {"marks_widths", "marks_blocks"} & set(BEFORE.to_dict())


def test_untrained_close_look_fills_known_marks() -> None:
    """Marks that the caller knows of go the way of those that are found, a pixel wider."""
    photo, known = torch.rand(1, 3, 64, 96), torch.zeros(1, 1, 64, 96)
    known[..., 20:23, 10:80] = 1
    restored, _ = Generator(CLOSE_LOOK)(photo, known)
    hidden = F.max_pool2d(known, 3, stride=1, padding=1)
    torch.testing.assert_close(restored, fill_evenly(photo, hidden, num_scales=2))
    assert torch.equal(restored[hidden.expand_as(photo) == 0], photo[hidden.expand_as(photo) == 0])


def test_found_marks_are_filled_without_a_rim(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are wide enough as they are found: what is beside them stays bit by bit."""
    generator = Generator(CLOSE_LOOK).eval()
    photo, found = torch.rand(1, 3, 64, 96), torch.zeros(1, 1, 64, 96)
    found[..., 20:23, 10:80] = 1
    monkeypatch.setattr(generator.close_look.marks_network, "forward", lambda *_: 16 * found - 8)
    with torch.inference_mode():
        restored, _ = generator(photo)
    changed = (restored != photo).any(1, keepdim=True)
    assert torch.equal(changed, found > 0)


def test_doubted_marks_are_kept_unless_they_are_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two found lines the fainter is doubted away; where a mark is known, doubt has no say."""
    generator = Generator(CLOSE_LOOK).eval()
    photo, logits = torch.rand(1, 3, 64, 96), torch.full((1, 1, 64, 96), -8.0)
    logits[..., 10:13, 10:80], logits[..., 40:43, 10:80] = 3.0, 8.0
    monkeypatch.setattr(generator.close_look.marks_network, "forward", lambda *_: logits)
    told = torch.full_like(logits, -0.125)  # two logits
    told[..., 20:23, 10:80] = 1
    with torch.inference_mode():
        restored, found = generator(photo, told)
        (undoubted, _) = generator(photo)
    changed, before = ((r != photo).any(1)[0].any(1) for r in (restored, undoubted))
    assert before.nonzero()[:, 0].tolist() == [10, 11, 12, 40, 41, 42]
    assert changed.nonzero()[:, 0].tolist() == [19, 20, 21, 22, 23, 40, 41, 42]
    assert found[0, 0, 11, 40] == 1


def test_painting_does_not_move_the_marks() -> None:
    """What is restored has no say in what is called a mark: else marks would be what is hard."""
    generator = make_shaken_generator(CLOSE_LOOK).train()
    generator(torch.rand(2, 3, 32, 32))[0].square().mean().backward()
    assert all(p.grad is None for p in generator.close_look.marks_network.parameters())


def test_unfolding_is_pixel_shuffle() -> None:
    """The same pixels as torch's own, which can't be exported in the operators allowed."""
    folded = torch.rand(2, 12, 5, 7)
    assert torch.equal(unfold(folded), F.pixel_shuffle(folded, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"marks_widths": (8,), "marks_blocks": (1,)}, "marks_widths"),
        ({"marks_widths": (8, 8, 8), "marks_blocks": (1, 1, 1)}, "marks_widths"),
        ({"marks_blocks": (1,)}, "marks_blocks"),
        ({"marks_widths": (8, 2)}, "4..1024"),
        ({"marks_blocks": (1, 99)}, "0..16"),
        ({"marks_encoder": "lite9"}, "marks_encoder: must be one of lite0"),
        ({"marks_encoder": "lite0"}, "3 to 6 marks_widths"),
        ({"shrunk_bands": 9}, "shrunk_bands: must lie in 0..4"),
        ({"shrunk_bands": 2}, "4 widths or more"),
        ({"native_width": 2}, "native_width: must be 0, or lie in 4..1024"),
    ],
)
def test_config_refuses_what_describes_no_close_look(
    change: dict[str, tuple[int, ...]], message: str
) -> None:
    """A wrong size is refused with a word that names it."""
    with pytest.raises(ValueError, match=message):
        replace(CLOSE_LOOK, **change)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "config",
    [CLOSE_LOOK, TOLD, SHRUNK, NATIVE],
    ids=["alone", "told", "shrunk", "native"],
)
@pytest.mark.parametrize("size", [(64, 96), (32, 160)])
def test_graph_of_a_close_look_gives_what_the_generator_gives(
    tmp_path: Path, size: tuple[int, int], config: GeneratorConfig
) -> None:
    """Restored window and marks to 1e-5, at any size, in the operators that are allowed."""
    generator = make_shaken_generator(replace(config, global_px=64))
    _find_some(generator)
    export_generator(tmp_path / "a.zip", generator, ModelMetadata("a"), precision="fp32")
    network = Network.load(tmp_path / "a.zip", "cpu", num_threads=1)
    assert network.alignment == config.alignment
    rng = np.random.default_rng(0)
    photo = rng.random((*size, 3), dtype=np.float32)
    grid = (0.1 * rng.standard_normal((12, 5, 6))).astype(np.float32)
    known = np.zeros(size, np.float32)
    known[10:20, 12:15] = 1
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None]
    with torch.inference_mode():
        adjusted = adjust_by_grid(pixels, torch.from_numpy(grid)[None])
        told = torch.from_numpy(known)[None, None]
        expected, logits = generator.restore_locally(adjusted, told, pixels)
    place = weigh_cells(np.arange(size[0]), size[0], 5), weigh_cells(np.arange(size[1]), size[1], 6)
    restored, marks = network.repair(photo, grid, place, known)
    np.testing.assert_allclose(restored, expected[0].permute(1, 2, 0).numpy(), atol=1e-5)
    filled = generator.close_look.open_gate(logits)[0, 0].numpy()
    assert filled.std() > 0.005
    np.testing.assert_allclose(marks, filled, atol=4e-5)
    assert 0.1 < marks.mean() < 0.9
    loaded, _ = load_generator(tmp_path / "a.zip")
    fold_norms(loaded)
    fold_norms(generator)
    for name, tensor in generator.state_dict().items():
        torch.testing.assert_close(tensor, loaded.state_dict()[name])


def test_folded_norms_change_nothing() -> None:
    """A network finds the same marks once its norms are layers, and with norms made of them."""
    network = make_shaken_generator(CLOSE_LOOK).close_look.marks_network
    photo = torch.rand(1, 3, 32, 32)
    expected = network(photo, photo)
    again = MarksNetwork(CLOSE_LOOK).eval()
    folded = copy.deepcopy(network)
    fold_norms(folded)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    again.load_state_dict(unfold_norms(again, folded.state_dict()))
    for other in (folded, again):
        torch.testing.assert_close(other(photo, photo), expected)


def test_classifier_tells_the_marks_network_what_is_in_the_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its encoder begins with the package's weights, tells all scales but the first, and learns."""
    state = install_classifier(monkeypatch, tmp_path)
    generator = Generator(TOLD)
    load_classifiers(generator)
    network = generator.close_look.marks_network
    expected = ClassifierEncoder("lite0")
    expected.load_classifier(state)
    begun = expected.state_dict()
    assert network.classifier is not None
    for name, weights in network.classifier.state_dict().items():
        assert torch.equal(weights, begun[name])
    nn.init.normal_(network.out.weight)
    photo = torch.rand(2, 3, 64, 64)
    network(photo, photo).square().mean().backward()
    for told, blocks in zip([0, 32, 24], network.encoder, strict=True):
        first = next(iter(blocks)).conv.weight  # type: ignore[union-attr]  # a NormedConv's
        assert first.shape[1] == 8 + told
        assert first.grad is not None
        assert not told or bool(first.grad[:, 8:].any())
    assert all(p.grad is not None and p.grad.any() for p in network.classifier.parameters())


def test_what_tells_the_marks_network_learns_more_slowly() -> None:
    """It is trained already, and has no norms."""
    stage = StageConfig(kind="marks", size_px=64, batch=2, steps=1, time_frac=1.0, lr=1e-3)
    config = TrainConfig(name="t", generator=TOLD, stages=(stage,))
    networks = build_networks(config, torch.device("cpu"))
    optimizer = networks.optimizer
    [group] = [g for g in optimizer.param_groups if g["rate_frac"] == 1 / 8]
    classifier = networks.generator.close_look.marks_network.classifier
    assert classifier is not None
    assert {id(p) for p in group["params"]} == {id(p) for p in classifier.parameters()}


def test_average_follows_the_statistics_of_norms() -> None:
    """What is exported has statistics of its own weights, not those that it began with."""
    generator = make_shaken_generator(CLOSE_LOOK)
    average = Generator(CLOSE_LOOK)
    follow = Average(generator, average, 0.999, Position(num_updates=0))
    for _ in range(3):
        follow.after_step()
    mean = "close_look.marks_network.stem.norm.running_mean"
    ours, theirs = average.get_buffer(mean), generator.get_buffer(mean)
    torch.testing.assert_close(ours, theirs * (1 - 0.1 * 2 / 11 * 3 / 12))


def test_statistics_beyond_half_precision_are_kept(tmp_path: Path) -> None:
    """Variances of layers that are normed grow as they like, and batches are counted exactly."""
    generator = make_shaken_generator(CLOSE_LOOK)
    norm = generator.close_look.marks_network.stem.norm
    norm.running_var.fill_(1e6 + 1)
    norm.num_batches_tracked.fill_(70_001)
    save_generator(tmp_path / "model.safetensors", generator, ModelMetadata("x"))
    loaded = load_generator(tmp_path / "model.safetensors")[0].close_look.marks_network.stem.norm
    assert (loaded.running_var == 1e6 + 1).all()
    assert loaded.num_batches_tracked.item() == 70_001


def test_close_look_begins_with_the_layers_of_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From half resolution down it has their weights, says so, and still changes nothing."""
    before = tiny_generator(config=BEFORE)
    save_generator(tmp_path / "old.safetensors", before, ModelMetadata("x"), dtype=torch.float32)
    torch.manual_seed(1)
    generator = Generator(CLOSE_LOOK)
    start_from(generator, tmp_path / "old.safetensors")
    said = capsys.readouterr().err
    assert "old.safetensors: the weights of a network without a close look" in said
    assert "the marks network begins at random" in said
    state, old = generator.state_dict(), before.state_dict()
    for ours, theirs in (
        ("encoder.1.0.conv_in.weight", "encoder.2.0.conv_in.weight"),
        ("down.0.weight", "down.1.weight"),
        ("up.0.bias", "up.1.bias"),
        ("decoder.0.0.norm.weight", "decoder.1.0.norm.weight"),
    ):
        assert torch.equal(state[f"refining_network.unet.{ours}"], old[theirs]), ours
    photo = torch.rand(1, 3, 32, 32)
    assert torch.equal(generator(photo)[0], photo)


def test_close_look_at_native_resolution_restores_as_the_unet_of_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has all its weights but those that find marks: where there are none it does the same."""
    before = make_shaken_generator(BEFORE)
    before.marks_out.weight.data.zero_()  # type: ignore[union-attr,operator]  # a layer
    before.marks_out.bias.data.fill_(-9)  # type: ignore[union-attr,operator]  # of its own
    save_generator(tmp_path / "old.safetensors", before, ModelMetadata("x"), dtype=torch.float32)
    generator = Generator(NATIVE).eval()
    start_from(generator, tmp_path / "old.safetensors")
    num = len(generator.close_look.refining_network.state_dict())
    assert f"{num} of {num} tensors of the refining network" in capsys.readouterr().err
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(generator(photo)[0], before(photo)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["run.safetensors", "run.zip"])
def test_training_goes_on_from_a_close_look(tmp_path: Path, name: str) -> None:
    """From a checkpoint or an exported file, it begins with the photographs that they give."""
    before = make_shaken_generator(CLOSE_LOOK)
    if name.endswith(".zip"):
        export_generator(tmp_path / name, before, ModelMetadata("x"))
    else:
        save_generator(tmp_path / name, before, ModelMetadata("x"), dtype=torch.float32)
    generator = Generator(CLOSE_LOOK)
    start_from(generator, tmp_path / name)
    photo = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(generator.eval()(photo)[0], before(photo)[0], atol=1e-3, rtol=0)


def test_marks_network_may_grow(tmp_path: Path) -> None:
    """Wider, it begins by finding the marks that it found; narrower is refused."""
    before = make_shaken_generator(CLOSE_LOOK)
    save_generator(tmp_path / "a.safetensors", before, ModelMetadata("x"), dtype=torch.float32)
    generator = Generator(replace(CLOSE_LOOK, marks_widths=(8, 12)))
    start_from(generator, tmp_path / "a.safetensors")
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for ours, theirs in zip(generator.eval()(photo), before(photo), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    save_generator(tmp_path / "b.safetensors", generator, ModelMetadata("x"), dtype=torch.float32)
    with pytest.raises(TrainError, match="another size"):
        start_from(Generator(CLOSE_LOOK), tmp_path / "b.safetensors")


def test_filter_of_grain_may_be_added(tmp_path: Path) -> None:
    """Added, it begins by doing next to nothing; taken away, it is refused."""
    without = replace(SHRUNK, shrunk_bands=0)
    before = make_shaken_generator(without)
    save_generator(tmp_path / "a.safetensors", before, ModelMetadata("x"), dtype=torch.float32)
    generator = Generator(SHRUNK)
    start_from(generator, tmp_path / "a.safetensors")
    photo = 0.5 + 0.1 * torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(generator.eval()(photo), before(photo), strict=True):
            torch.testing.assert_close(ours, theirs, atol=2 / 255, rtol=0)
    save_generator(tmp_path / "b.safetensors", generator, ModelMetadata("x"), dtype=torch.float32)
    with pytest.raises(TrainError, match="another size"):
        start_from(Generator(without), tmp_path / "b.safetensors")


def test_new_stem_does_what_two_layers_did(tmp_path: Path) -> None:
    """Away from the borders it gives the features that the U-Net had at half resolution."""
    before = tiny_generator(config=replace(BEFORE, encoder_blocks=(0, 1, 1)))
    save_generator(tmp_path / "old.safetensors", before, ModelMetadata("x"), dtype=torch.float32)
    generator = Generator(CLOSE_LOOK)
    start_from(generator, tmp_path / "old.safetensors")
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = before.down[0](before.stem(2 * photo - 1))  # type: ignore[index,operator]  # modules
        seen = torch.cat([2 * photo - 1, torch.rand(1, 1, 32, 32)], dim=1)
        found = generator.close_look.refining_network.unet.stem(seen)
    torch.testing.assert_close(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])


def test_what_would_be_lost_is_refused(tmp_path: Path) -> None:
    """A U-Net can't start from a close look; no colour network or tally is dropped in silence."""
    save_generator(tmp_path / "close.safetensors", Generator(CLOSE_LOOK), ModelMetadata("x"))
    with pytest.raises(TrainError, match="another size"):
        start_from(Generator(BEFORE), tmp_path / "close.safetensors")
    colored = Generator(replace(BEFORE, color_encoder="lite0"))
    save_generator(tmp_path / "colored.safetensors", colored, ModelMetadata("x"))
    with pytest.raises(TrainError, match='color_encoder = "lite0"'):
        start_from(Generator(CLOSE_LOOK), tmp_path / "colored.safetensors")
    told = Generator(replace(BEFORE, global_px=64, tone_bins=8))
    save_generator(tmp_path / "told.safetensors", told, ModelMetadata("x"))
    with pytest.raises(TrainError, match="tone_bins = 8"):
        start_from(Generator(replace(CLOSE_LOOK, global_px=64)), tmp_path / "told.safetensors")


def test_marks_are_looked_for_without_laid_colors() -> None:
    """Tone that was settled is heeded; colours that were laid tell nothing."""
    torch.manual_seed(0)
    original = torch.rand(1, 3, 32, 32)
    tinted = original + torch.tensor([0.587, -0.299, 0.0]).reshape(1, 3, 1, 1) / 5  # of no luma
    find = make_lively_marks_network(Generator(CLOSE_LOOK)).eval()
    with torch.no_grad():
        expected = find(original, original)
        torch.testing.assert_close(find(tinted, original), expected, atol=1e-5, rtol=0)
        assert (find(original + 0.1, original) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("norms_rest", [False, True])
def test_norms_may_rest_while_marks_are_learned(norms_rest: bool) -> None:
    """Then the network that learns is the one that is used; its weights learn all the same."""
    generator = Generator(CLOSE_LOOK)
    stage = StageConfig(
        kind="marks", size_px=32, batch=2, steps=1, time_frac=1, lr=1e-3, norms_rest=norms_rest
    )
    choose_learners(generator, stage, LossWeights())
    network = make_lively_marks_network(generator)
    photo = torch.rand(2, 3, 32, 32)
    expected = network.eval()(photo, photo)
    means = [layer.norm.running_mean.clone() for layer in _list_norms(network)]
    found = network.train()(photo, photo)
    assert torch.allclose(found, expected, atol=1e-5) == norms_rest
    kept = [
        torch.equal(a.norm.running_mean, b)
        for a, b in zip(_list_norms(network), means, strict=True)
    ]
    assert all(kept) if norms_rest else not any(kept)
    found.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def _find_some(generator: Generator) -> None:
    """Let a shaken close look call some of a photograph of noise marks."""
    out = generator.close_look.marks_network.out
    photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out.weight.mul_(1 / generator(photo)[1].std())
        out.bias.sub_(generator(photo)[1].mean() + 0.3)  # type: ignore[union-attr]  # it has one


def make_lively_marks_network(generator: Generator) -> MarksNetwork:
    """Its marks network, with an output that tells what the last layer holds."""
    network = generator.close_look.marks_network
    torch.nn.init.normal_(network.out.weight, std=0.2)
    return network


def _list_norms(network: nn.Module) -> list[NormedConv]:
    return [layer for layer in network.modules() if isinstance(layer, NormedConv)]
