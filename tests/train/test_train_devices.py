"""Every part of a step works where the photographs are: rehearsed on a GPU that isn't there.

PyTorch's fake tensors have a device and a shape but no values, and refuse to mix devices as real
ones do; so a processor can tell whether a GPU would stumble on a tensor left behind.
"""

import msgspec
import numpy as np
import pytest
import torch
from classifiers import make_classifier
from store_photos import build_small, fill_folder
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from train.config.files import load_preset
from train.config.losses import LossShape, LossWeights
from train.damage.twin import Damages, PackedDamage
from train.data.batches import Batch, Columns, to_batch
from train.data.builds import Builds
from train.data.given import draw_given, give
from train.losses.adversarial import fool_critic, judge_real_and_fake, match_features
from train.losses.color import ColorLoss, _read_rarity
from train.losses.consistency import measure_consistency_loss
from train.losses.fidelity import CoarseLoss, FidelityLoss
from train.losses.repair import RepairLoss
from train.losses.variation import draw_variation, vary
from train.measure.color import lay_chroma
from train.network.color import ColorNetwork
from train.network.critic import Critic
from train.network.features import FrozenFeatures
from train.network.generator import Generator, Look
from train.network.projected_critic import ProjectedCritic

SIDE_PX = 64
CUDA = torch.device("cuda", 0)
CONFIG = load_preset("gpu")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedDamage:
    """The damage of twelve pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    build_small(fill_folder(folder / "photos", 12), folder / "pairs", size_px=SIDE_PX)
    reader = Builds(folder / "pairs")
    geometry = np.array([[0, 0, SIDE_PX, SIDE_PX, 0]] * len(reader))
    return Damages(reader).load(np.arange(len(reader)), geometry, SIDE_PX)


def make_batch(packed: PackedDamage) -> Batch:
    """A batch as the loader hands it over, on the GPU; to be called with fake tensors on."""
    photos = torch.zeros(packed.num, SIDE_PX, SIDE_PX, 3, dtype=torch.uint8)
    index = torch.arange(packed.num)
    geometry = torch.zeros(packed.num, 5, dtype=torch.int64)
    columns = Columns(photos, photos, photos[..., 0], index, geometry, torch.zeros_like(index))
    return to_batch(columns, CUDA, packed)


def restore(batch: Batch) -> tuple[Tensor, Tensor]:
    """What a generator of the preset for GPUs answers; to be called with fake tensors on."""
    with CUDA:
        generator = Generator(CONFIG.generator)
    restored, logits = generator(batch.damaged)
    return restored, logits


@pytest.mark.slow
def test_losses_are_computed_where_the_photographs_are(packed: PackedDamage) -> None:
    """Network, fidelity losses and critic of the preset for GPUs leave nothing on the processor."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        batch = make_batch(packed)
        pred = restore(batch)
        values = []
        answers = {FidelityLoss: pred, CoarseLoss: (pred[0], pred[0].new_ones(len(pred[0])))}
        for loss, answer in answers.items():
            values.append(
                loss(CONFIG.weights, CONFIG.shape)(answer, batch.clean, batch.marks, batch.damaged)
            )
        with CUDA:
            critic = Critic(CONFIG.critic)
        verdicts, features = critic(batch.damaged, pred[0])
        values.append(fool_critic(verdicts))
        values.append(judge_real_and_fake(verdicts, verdicts))
        values.append(match_features(features, features))
    assert [value.device for value in values] == [CUDA] * len(values)


def test_damage_is_repeated_where_the_photographs_are(
    packed: PackedDamage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packed damage of all kinds reaches the GPU whole, and every stage of the twin runs there.

    Only the Gaussian blur is left out: its radius depends on a value, which fake tensors lack.
    """
    monkeypatch.setattr("train.damage.stages._blur_gaussian", lambda image, sigma_px: image)
    assert {"sigma_px", "knots", "grain", "opacity", "ink", "tone"} <= packed.parts.keys()
    with FakeTensorMode(allow_non_fake_inputs=True):
        batch = make_batch(packed)
        assert batch.damage is not None
        damage = batch.damage.unpack(CUDA)
        value = measure_consistency_loss(restore(batch)[0], batch.damaged, damage)
    assert value.device == damage.sigma_px.device == CUDA


def test_fake_tensors_refuse_to_mix_devices() -> None:
    """Which is what the tests above rest on."""
    with FakeTensorMode():
        there, here = torch.zeros(3, device=CUDA), torch.zeros(3)
        with pytest.raises(RuntimeError, match="same device"):
            there + here


def test_close_look_is_judged_where_the_photographs_are(
    packed: PackedDamage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given, the network, its terms and the projected critic stay on the GPU."""
    state = make_classifier()
    monkeypatch.setattr("train.network.features.read_classifier", lambda _: state)
    config = load_preset("repair")
    with FakeTensorMode(allow_non_fake_inputs=True):
        with CUDA:
            features, generator = FrozenFeatures(), Generator(config.generator)
            critic = ProjectedCritic(features.widths)
        batch = make_batch(packed)
        num = len(batch.damaged)
        half = batch.clean[..., ::2, ::2]
        look = Look(half, torch.rand(num, 4, device=CUDA))
        batch = batch._replace(look=look, clean_look=half)
        every = config.stages[-1]
        every = msgspec.structs.replace(every, known_prob=0.5, undamaged_prob=0.3, marked_prob=0.3)
        batch, known = give(batch, draw_given(every, 0, 0, range(num)))
        weights = msgspec.structs.replace(config.weigh_terms(every), marks=0.8, false_alarms=0.2)
        loss = RepairLoss(weights, config.shape, features)
        value = loss(
            generator(batch.damaged, known, batch.look), batch.clean, batch.marks, batch.damaged
        )
        assert loss.judged is not None
        verdict = fool_critic(critic(loss.judged.features))
    assert {*loss.terms} >= {"marks", "false_alarms", "perceptual_detail"}
    assert value.device == known.device == verdict.device == CUDA


@pytest.mark.slow
def test_colours_are_judged_where_the_photographs_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Colour network, its terms by saturation and rarity, hints and critic stay on the GPU."""
    state = make_classifier()
    monkeypatch.setattr("train.network.features.read_classifier", lambda _: state)
    variation = draw_variation(2, SIDE_PX // 2, np.random.default_rng(0))
    rarity = _read_rarity()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        with CUDA:
            features, network = FrozenFeatures(), ColorNetwork()
            critic = ProjectedCritic(features.widths)
        monkeypatch.setattr("train.losses.color._read_rarity", lambda: mode.from_tensor(rarity))
        photos = torch.zeros(2, SIDE_PX, SIDE_PX, 3, dtype=torch.uint8)
        index = torch.arange(2)
        geometry = torch.zeros(2, 5, dtype=torch.int64)
        columns = Columns(
            photos, photos, photos[..., 0], index, geometry, index, hints=photos.to(torch.int8)
        )
        batch = to_batch(columns, CUDA)
        assert batch.hints is not None
        chroma = network(batch.damaged[:, :1], batch.hints)
        values = []
        for weighting in ("saturation", "rarity"):
            shape = LossShape(color_weighting=weighting)
            loss = ColorLoss(LossWeights(), shape, features)
            values.append(loss((chroma,), batch.clean, batch.hints))
        assert loss.judged is not None
        varied = vary(loss.judged.guess, variation)
        values.append(fool_critic(critic(features(varied))))
        values.append(lay_chroma(chroma, batch.clean))
    assert [value.device for value in values] == [CUDA] * len(values)
