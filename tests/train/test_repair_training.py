"""Stages of a close look: what they give, what they train, and that they resume exactly."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from classifiers import install_classifier
from torch import Tensor
from training_runs import TINY, build_pairs, read_log, run_until_killed

from train.config.files import load_preset
from train.config.losses import LossWeights
from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.damage.grey import draw_grey_scans, draw_greys, make_grey
from train.damage.laid import MarksLook
from train.data.batches import Batch
from train.data.given import Given, draw_given, give
from train.losses.fidelity import split_luma_chroma
from train.network.checkpoint import load_generator
from train.network.config import GeneratorConfig
from train.network.generator import Generator, Look
from train.run.learner import build_networks, choose_learners
from train.run.run import Run, resume_run

pytestmark = pytest.mark.usefixtures("one_thread", "classifier")

GENERATOR = GeneratorConfig(
    widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1,), tone_scale=0,
    marks_widths=(8, 8), marks_blocks=(1, 1),
)  # fmt: skip
SEVEN_SCALES = {"widths": (8,) * 7, "encoder_blocks": (1,) * 7, "decoder_blocks": (1,) * 6}
MARKS = StageConfig(
    kind="marks", size_px=32, batch=4, steps=4, time_frac=1, lr=1e-3, undamaged_prob=0.3
)
REFINE = msgspec.structs.replace(
    MARKS, kind="generator", known_prob=0.5, weights={"perceptual_detail": 0.02}
)
DETAIL = msgspec.structs.replace(REFINE, kind="detail-adversarial", steps=6, critic_alone_steps=2)
RUN = msgspec.structs.replace(
    TINY,
    generator=GENERATOR,
    stages=(MARKS, REFINE, DETAIL),
    precision="fp32",
    weights=msgspec.structs.replace(TINY.weights, consistency=0.0, false_alarms=0.1),
    shape=msgspec.structs.replace(TINY.shape, thin_boost=4.0, missed_share=0.7),
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of twelve pairs."""
    return build_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def finished(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of all stages."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as context:
        install_classifier(context, folder)
        Run(folder / "finished", pairs, RUN).train()
    return folder / "finished"


def make_batch(num: int = 4) -> Batch:
    """Black damaged photographs of white ones, with a mark down the middle."""
    marks = torch.zeros(num, 1, 16, 16)
    marks[..., 8] = 1
    index = torch.zeros(num, dtype=torch.int64)
    black = torch.zeros(num, 3, 16, 16)
    return Batch(black, black + 1, marks, index, index, None, index - 1)


def make_given(num: int = 4, **entries: Sequence[float]) -> Given:
    """Photographs as they are, but for what is asked for; grey ink."""
    given = {
        "undamaged": np.zeros(num, np.bool_),
        "wider_px": np.full(num, -1),
        "marked": np.zeros(num, np.bool_),
        "grey": np.zeros(num, np.bool_),
        "grey_scan": np.zeros(num, np.bool_),
    }
    look = {"ink": 0.25, "cut": 0.0, "gain": 1.0, "blurs": 0.0, "strength": 1.0}
    return Given(
        **{k: np.array(entries.get(k, v), v.dtype) for k, v in given.items()},
        look=MarksLook(
            **{
                k: torch.tensor(entries.get(k, [v] * num)).float().reshape(num, 1, 1, 1)
                for k, v in look.items()
            }
        ),
        grey_look=draw_greys([np.random.default_rng(i) for i in range(num)]),
        scan_tint=draw_grey_scans([np.random.default_rng(i) for i in range(num)]),
    )


def test_what_is_given_follows_from_seed_stage_and_position() -> None:
    """In any order the same draws, about as often as asked for; another seed gives others."""
    stage = msgspec.structs.replace(REFINE, known_prob=0.5, undamaged_prob=0.25, marked_prob=0.4)
    given = draw_given(stage, 3, 1, range(400))
    backwards = draw_given(stage, 3, 1, range(399, -1, -1))
    assert np.array_equal(given.undamaged, backwards.undamaged[::-1])
    assert np.array_equal(given.wider_px, backwards.wider_px[::-1])
    assert torch.equal(given.look.ink, backwards.look.ink.flip(0))
    assert not np.array_equal(given.wider_px, draw_given(stage, 4, 1, range(400)).wider_px)
    assert given.undamaged.mean() == pytest.approx(0.25, abs=0.07)
    assert given.marked.mean() == pytest.approx(0.4, abs=0.07)
    assert not (given.marked & given.undamaged).any()
    assert (given.wider_px >= 0).mean() == pytest.approx(0.5, abs=0.07)
    assert set(given.wider_px) == {-1, 0, 1, 2, 3}


def test_given_batch_holds_undamaged_photographs_and_known_marks() -> None:
    """Undamaged ones are clean and unmarked; known marks are as wide as drawn."""
    given = make_given(undamaged=[False, True, False, True], wider_px=[-1, -1, 1, 0])
    batch, known = give(make_batch(), given)
    assert batch.damaged.mean((1, 2, 3)).tolist() == [0, 1, 0, 1]
    assert batch.marks.amax((1, 2, 3)).tolist() == [1, 0, 1, 0]
    assert known.sum((1, 2, 3)).tolist() == [0, 0, 3 * 16, 0]
    assert torch.equal(batch.clean, make_batch().clean)


def test_sound_photographs_may_have_no_colours() -> None:
    """So that colours don't tell what is sound: what comes back is neutral, of the same luma."""
    colors = torch.rand(4, 3, 16, 16)
    batch = make_batch()._replace(clean=colors, marks=torch.zeros(4, 1, 16, 16))
    marked, undamaged = [False, True, False, False], [False, False, True, True]
    given = make_given(marked=marked, undamaged=undamaged, grey=[True, True, True, False])
    batch, _ = give(batch, given)
    spread = (batch.clean.amax(1) - batch.clean.amin(1)).amax((1, 2))
    assert (spread < 1e-5).tolist() == [False, True, True, False]
    assert batch.damaged[0].amax() == 0  # a damaged one stays as it was
    luma = [split_luma_chroma(photo)[0] for photo in (batch.damaged, batch.clean)]
    torch.testing.assert_close(luma[0][1:], luma[1][1:], rtol=0, atol=1e-4)
    assert torch.equal(batch.damaged[3], colors[3])


def test_damaged_photographs_are_scanned_in_grey_with_their_marks() -> None:
    """One tone that follows luma over everything, as strong in the whole that is looked at."""
    colors, clean = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)
    box = torch.tensor([[0.0, 0, 1, 1]]).expand(4, -1)
    before = make_batch()._replace(damaged=colors, clean=clean, look=Look(colors, box))
    given = make_given(undamaged=[False, False, False, True], grey_scan=[False, True, True, True])
    batch, _ = give(before, given)
    luma, chroma = split_luma_chroma(batch.damaged)
    torch.testing.assert_close(luma[:3], split_luma_chroma(colors)[0][:3], rtol=0, atol=1e-4)
    tone = 4 * luma * (1 - luma) * split_luma_chroma(given.scan_tint)[1]
    torch.testing.assert_close(chroma[1:3], tone[1:3], rtol=0, atol=1e-4)
    assert torch.equal(batch.damaged[0], colors[0])
    assert torch.equal(batch.damaged[3], clean[3])  # an undamaged one stays as it was
    assert split_luma_chroma(batch.clean)[1][1:3].abs().max() < 1e-4
    assert batch.look is not None
    assert torch.equal(batch.look.photo[:3], batch.damaged[:3])


def test_scans_in_grey_have_nothing_a_trace_or_all_of_a_tone() -> None:
    """Each in about a third of them."""
    size = draw_grey_scans([np.random.default_rng(i) for i in range(300)]).abs().amax((1, 2, 3))
    nothing, tone = (size == 0).float().mean(), (size > 0.03).float().mean()
    assert nothing == pytest.approx(1 / 3, abs=0.08)
    assert tone == pytest.approx(0.32, abs=0.08)


def test_looks_are_given_as_their_photographs_are() -> None:
    """Of sound photographs the sound whole is looked at, grey and toned alike; else the damaged."""
    clean = torch.rand(4, 3, 16, 16)
    box = torch.tensor([[0.0, 0, 1, 1]]).expand(4, -1)
    batch = make_batch()._replace(
        clean=clean,
        marks=torch.zeros(4, 1, 16, 16),
        look=Look(torch.zeros(4, 3, 16, 16), box),
        clean_look=clean,
    )
    marked, undamaged = [False, True, False, False], [False, False, True, True]
    batch, _ = give(batch, make_given(marked=marked, undamaged=undamaged, grey=[1, 1, 1, 0]))
    assert batch.look is not None
    assert torch.equal(batch.look.photo, batch.damaged)
    assert torch.equal(batch.look.box, box)


@pytest.mark.parametrize(
    ("kind", "has_close_look", "expected"),
    [("marks", True, 64), ("generator", True, 64), ("generator", False, 0), ("global", True, 0)],
)
def test_stages_of_a_close_look_look_at_wholes(
    kind: str, has_close_look: bool, expected: int
) -> None:
    """`restore` settles tone from the whole; older networks are trained as they began."""
    size = replace(GENERATOR if has_close_look else GeneratorConfig(), global_px=64)
    stage = StageConfig(kind=kind, size_px=32, batch=2, steps=1, time_frac=1, lr=1e-3)  # type: ignore[arg-type]
    config = TrainConfig(name="t", generator=size, stages=(stage,))
    assert config.find_look_px(stage) == expected


def test_network_sees_the_tone_of_the_whole(pairs: Path, tmp_path: Path) -> None:
    """In training a crop is adjusted by the grid of the look that came with it."""
    stage = msgspec.structs.replace(REFINE, native_prob=1.0, whole_prob=0.0)
    size = replace(GENERATOR, global_px=32)
    config = msgspec.structs.replace(RUN, generator=size, stages=(stage,))
    seen: list[Look | None] = []
    with pytest.MonkeyPatch.context() as context:
        adjust = Generator.adjust_globally

        def spy(self: Generator, photo: Tensor, look: Look | None = None) -> Tensor:
            if self.training:
                seen.append(look)
            return adjust(self, photo, look)

        context.setattr(Generator, "adjust_globally", spy)
        Run(tmp_path / "run", pairs, config).train()
    assert seen
    for look in seen:
        assert look is not None
        assert look.photo.shape[2:] == (32, 32)
        assert bool((look.box[:, 2] - look.box[:, 0] < 1).any())


def test_toned_photographs_stay_in_range() -> None:
    """Half of those without colours are toned."""
    look = draw_greys([np.random.default_rng(i) for i in range(200)])
    _, toned = make_grey(torch.rand(200, 3, 8, 8).round(), look)
    assert 0 <= toned.min() <= toned.max() <= 1 + 1e-5
    _, toned = make_grey(torch.rand(200, 3, 8, 8), look)
    is_toned = (toned.amax(1) - toned.amin(1)).amax((1, 2)) > 1e-4
    assert 0.4 < is_toned.float().mean() < 0.6
    torch.testing.assert_close(look.response.sum(1), torch.ones(200, 1, 1))


def test_marked_photograph_is_the_clean_one_under_ink() -> None:
    """Faint marks are laid more opaquely, or cut off; those that were laid are asked for."""
    batch = make_batch()
    batch.marks.mul_(0.3)
    batch.marks[:, :, 8:] = 0.2  # wide: laid as opaque as it was
    batch, known = give(
        batch,
        make_given(
            marked=[False, True, True, True], wider_px=[-1, -1, -1, 0],
            cut=[0, 0, 0.4, 0.2], gain=[1, 2, 8, 8],
        ),
    )  # fmt: skip
    opacity = torch.tensor([0.3, 0.6, 0, 0.8])
    torch.testing.assert_close(batch.marks[:, 0, 0, 8], opacity)
    torch.testing.assert_close(batch.damaged[1:, 0, 0, 8], 1 - 0.75 * opacity[1:])
    assert batch.damaged[:, 0, 0, 7].tolist() == [0, 1, 1, 1]
    torch.testing.assert_close(batch.damaged[1:, 0, 15, 0], torch.full((3,), 1 - 0.75 * 0.2))
    torch.testing.assert_close(known[:, 0, 0, 8], torch.tensor([0, 0, 0, 1.0]))


def test_laid_marks_are_blurred_before_they_are_weakened() -> None:
    """A line of a pixel becomes one of three, of a third of its opacity, and of its strength."""
    given = make_given(marked=[1, 1, 1, 1], blurs=[0, 1, 3, 0], strength=[1, 0.5, 1, 0.25])
    batch, _ = give(make_batch(), given)
    row = batch.marks[:, 0, 4]
    torch.testing.assert_close(row[1, 7:10], torch.full((3,), 1 / 6))
    assert [int((r > 0).sum()) for r in row] == [1, 3, 7, 1]
    torch.testing.assert_close(row.sum(1), torch.tensor([1, 0.5, 1, 0.25]))


def test_marks_stage_trains_the_marks_network_alone() -> None:
    """What repairs keeps its weights, and learns again afterwards."""
    generator = Generator(replace(GENERATOR, global_px=32))
    choose_learners(generator, MARKS, LossWeights())
    learning = {n.split(".")[0] for n, p in generator.named_parameters() if p.requires_grad}
    assert learning == {"marks_network"}
    choose_learners(generator, REFINE, LossWeights())
    learning = {n.split(".")[0] for n, p in generator.named_parameters() if p.requires_grad}
    assert learning == {"marks_network", "refining_network"}


def test_marks_network_rests_where_marks_do_not_count() -> None:
    """Neither its weights nor its statistics change; what refines learns."""
    generator = Generator(GENERATOR)
    generator.close_look.marks_network.out.weight.data.normal_()
    choose_learners(generator, REFINE, LossWeights(marks=0))
    generator.train()
    before = copy.deepcopy(generator.state_dict())
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
    restored, _ = generator(torch.rand(2, 3, 16, 16))
    restored.square().mean().backward()
    optimizer.step()
    changed = {n.split(".")[0] for n, t in generator.state_dict().items() if (t != before[n]).any()}
    assert changed == {"refining_network"}
    choose_learners(generator, REFINE, LossWeights())
    generator.train()(torch.rand(2, 3, 16, 16))
    mean = "marks_network.stem.norm.running_mean"
    assert not torch.equal(generator.state_dict()[mean], before[mean])


def test_stages_log_their_terms(finished: Path) -> None:
    """Marks alone first; then fidelity and detail; at last the projected critic."""
    rows = read_log(finished)
    filled = {row["stage"]: {k for k, v in row.items() if v} for row in rows}
    marks, fidelity = {"marks", "false_alarms"}, {"luma", "chroma", "detail"}
    assert list(filled) == ["1-marks-32", "2-generator-32", "3-detail-adversarial-32"]
    assert marks <= filled["1-marks-32"]
    assert not fidelity & filled["1-marks-32"]
    assert marks | fidelity | {"perceptual_detail"} <= filled["2-generator-32"]
    assert "critic" not in filled["2-generator-32"]
    assert {"critic", "projected", "perceptual_detail"} <= filled["3-detail-adversarial-32"]


def test_run_of_a_close_look_exports_its_weights(finished: Path) -> None:
    """The file for `restore` holds what was trained."""
    generator, info = load_generator(finished / "model.zip")
    assert generator.config == GENERATOR
    assert info.metadata.alignment == 4
    untrained = build_networks(RUN, torch.device("cpu")).generator.state_dict()
    for name in ("marks_network.out.weight", "refining_network.out.weight"):
        assert not torch.equal(generator.state_dict()[name], untrained[name])


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 6, 10, 13])
def test_resumed_run_of_a_close_look_equals_an_uninterrupted_one(
    finished: Path, pairs: Path, tmp_path: Path, step: int
) -> None:
    """A run killed in any stage goes on to the same losses and weights."""
    folder = tmp_path / "killed"
    run_until_killed(folder, pairs, RUN, step)
    resume_run(folder).train()
    assert read_log(folder) == read_log(finished)
    ours, theirs = (load_generator(f / "checkpoint.safetensors")[0] for f in (folder, finished))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_preset_has_the_sizes_of_the_shipped_network() -> None:
    """From half resolution down it is as wide, so that its weights can be started from."""
    config = load_preset("repair")
    before = load_preset("cpu").generator
    assert config.generator.widths == before.widths[1:]
    assert config.generator.alignment == before.alignment
    assert config.stages[0].kind == "marks"
    assert config.stages[-1].has_projected_critic


@pytest.mark.parametrize(
    ("stage", "run", "message"),
    [
        ({"kind": "marks", "known_prob": 0.5}, {}, "known_prob"),
        ({"kind": "global", "undamaged_prob": 0.5}, {}, "undamaged_prob"),
        ({"kind": "global", "marked_prob": 0.5}, {}, "marked_prob"),
        ({"undamaged_prob": 0.5, "marked_prob": 0.6}, {}, "exceed 1"),
        ({"grey_prob": 0.5}, {}, "grey_prob: only with"),
        ({"kind": "marks"}, {"generator": TINY.generator}, "marks_widths"),
        ({"kind": "detail-adversarial"}, {"generator": TINY.generator}, "marks_widths"),
        ({"undamaged_prob": 0.5}, {"weights": TINY.weights}, "undamaged_prob: not with consist"),
        ({"marked_prob": 0.5}, {"weights": TINY.weights}, "marked_prob: not with consistency"),
        ({}, {"generator": replace(GENERATOR, **SEVEN_SCALES)}, "multiples of 128 px"),
    ],
)
def test_config_refuses_stages_that_can_not_be(
    stage: dict[str, object], run: dict[str, object], message: str
) -> None:
    """Each with a word about what is missing."""

    def build() -> TrainConfig:
        plain = msgspec.structs.asdict(TINY.stages[0]) | stage
        return msgspec.structs.replace(RUN, **run, stages=(StageConfig(**plain),))

    with pytest.raises(ValueError, match=message):
        build()
