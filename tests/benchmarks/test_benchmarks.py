"""The benchmarks' own parts: foreign damages, intervals, the network of pix2pix, verdicts."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from store_photos import paint_photo
from training_runs import TINY, build_pairs
from write_models import MODELS

from benchmarks.picture.foreign import DAMAGES
from benchmarks.picture.quality import check_heldout, choose_pairs, iterate_section
from benchmarks.picture.quality_report import judge
from benchmarks.rivals.baselines import evaluate
from benchmarks.shared.heldout import seed_photo
from benchmarks.shared.measured import measure_section
from benchmarks.shared.pix2pix import (
    Pix2Pix,
    UNet,
    UNetConfig,
    build_critic,
    find_changes,
    load_unet,
    save_unet,
    use_unet,
)
from degrade import PairReader
from train.measure.baselines import keep_as_is
from train.measure.intervals import bootstrap, draw_groups

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = (
    "judged.blind",
    "judged.votes",
    "picture.color",
    "picture.quality",
    "rivals.ablations",
    "rivals.baselines",
    "speed.building",
    "speed.page",
    "speed.plan",
    "speed.restoring",
    "speed.training",
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store."""
    return build_pairs(tmp_path_factory.mktemp("store"))


def average(rows: list[float]) -> dict[str, float]:
    return {"mean": sum(rows) / len(rows)}


@pytest.mark.parametrize("name", DAMAGES)
def test_foreign_damage_repeats_by_seed(name: str) -> None:
    """The same seed and photograph give the same bytes, another photograph's key gives others."""
    clean = paint_photo(1)
    before = clean.copy()
    first, again, other = (DAMAGES[name](clean, seed_photo(3, name, key)) for key in "aab")
    assert np.array_equal(first.damaged, again.damaged)
    assert np.array_equal(first.marks, again.marks)
    assert not np.array_equal(first.damaged, other.damaged)
    assert np.array_equal(clean, before)


@pytest.mark.parametrize("name", DAMAGES)
def test_foreign_damage_keeps_a_photograph(name: str) -> None:
    """Size and type stay; most photographs are clearly changed, none is lost."""
    changes = []
    for number in range(20):
        clean = paint_photo(number)
        damaged, marks = DAMAGES[name](clean, seed_photo(0, name, str(number)))
        assert damaged.shape == clean.shape
        assert damaged.dtype == marks.dtype == np.uint8
        assert marks.shape == clean.shape[:2]
        seen = marks == 0
        changes.append(np.abs(damaged.astype(int) - clean)[seen].mean())
    assert 3 < np.median(changes) < 60


def test_holes_of_bopbtl_are_flat_white_and_on_half_of_the_photographs() -> None:
    """Under its marks the damaged photograph is white; marks are there or not, by turns."""
    clean = paint_photo(0)
    marked = []
    for number in range(60):
        damaged, marks = DAMAGES["bopbtl"](clean, seed_photo(0, "bopbtl", str(number)))
        assert np.all(damaged[marks > 0] == 255)
        assert (marks > 0).mean() < 0.4
        marked.append(bool(marks.any()))
    assert 0.3 < np.mean(marked) < 0.7


def test_bootstrap_covers_a_known_mean() -> None:
    """Of many samples about 95 % have an interval that holds the mean they were drawn with."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(100):
        rows = rng.normal(5, 1, 40).tolist()
        values, _ = bootstrap(
            {"ours": rows}, [str(i) for i in range(40)], average, ours=["ours"], num_draws=200,
            rng=rng,
        )  # fmt: skip
        estimate = values["ours"]["mean"]
        assert estimate.low < estimate.value < estimate.high
        covered.append(estimate.low <= 5 <= estimate.high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_bootstrap_takes_variants_of_a_source_together() -> None:
    """Doubling every photograph by a variant of equal value doesn't narrow the interval."""
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 1, 30).tolist()
    widths = []
    for times in (1, 4):
        groups = [str(i) for i in range(30)] * times
        values, _ = bootstrap(
            {"ours": rows * times}, groups, average, ours=["ours"], num_draws=2000,
            rng=np.random.default_rng(2),
        )  # fmt: skip
        widths.append(values["ours"]["mean"].high - values["ours"]["mean"].low)
    assert widths[1] == pytest.approx(widths[0])
    for draw in draw_groups(["a", "b", "a"], 20, rng):
        assert draw.count(0) == draw.count(2)


def test_bootstrap_differences_are_paired() -> None:
    """A method that is better by the same on each photograph is better by just that."""
    rows = np.random.default_rng(0).normal(0, 5, 12)
    _, differences = bootstrap(
        {"ours": (rows + 2).tolist(), "other": rows.tolist()}, [str(i) for i in range(12)], average,
        ours=["ours"], num_draws=50, rng=np.random.default_rng(0),
    )  # fmt: skip
    estimate = differences["ours"]["other"]["mean"]
    assert [estimate.low, estimate.value, estimate.high] == pytest.approx([2, 2, 2])


def test_bootstrap_refuses_unequal_rows() -> None:
    """A method that misses a photograph can't be compared."""
    with pytest.raises(ValueError, match="one row for each photograph"):
        bootstrap({"ours": [1.0]}, ["a", "b"], average, ours=["ours"], num_draws=2,
                  rng=np.random.default_rng(0))  # fmt: skip


def test_unet_has_the_size_of_the_paper() -> None:
    """54.41 million weights for colour photographs of 256 px, 2.77 million in the critic."""
    with torch.device("meta"):
        unet, critic = UNet(UNetConfig()), build_critic()
    assert sum(p.numel() for p in unet.parameters()) == 54_414_531
    assert sum(p.numel() for p in critic.parameters()) == 2_768_705
    assert UNet(UNetConfig(width=2))(torch.zeros(1, 3, 256, 512)).shape == (1, 3, 256, 512)


def test_critic_judges_patches_of_70_px() -> None:
    """One logit sees 70 × 70 px."""
    seen = 1
    for layer in reversed([m for m in build_critic(4).modules() if isinstance(m, torch.nn.Conv2d)]):
        seen = (seen - 1) * layer.stride[0] + layer.kernel_size[0]
    assert seen == 70


def test_unet_restores_any_size_and_survives_its_file(tmp_path: Path) -> None:
    """A photograph of an odd size comes back at that size, the same from the saved weights."""
    torch.manual_seed(0)
    unet = UNet(UNetConfig(width=4, size_px=32))
    photo = paint_photo(0, 50, 41)
    restored, marks = use_unet(unet)(photo)
    assert restored.shape == photo.shape
    assert marks.shape == photo.shape[:2]
    save_unet(tmp_path / "unet.safetensors", unet, {"minutes": 3})
    loaded, notes = load_unet(tmp_path / "unet.safetensors")
    assert notes["minutes"] == 3
    assert np.array_equal(use_unet(loaded)(photo)[0], restored)


@pytest.mark.slow
def test_pix2pix_learns_and_goes_on_where_it_stopped() -> None:
    """On one pair the distance falls; a state taken half way leads to the same losses."""
    size = UNetConfig(width=8, size_px=32)
    device = torch.device("cpu")
    clean = torch.from_numpy(paint_photo(0, 32, 32)).permute(2, 0, 1)[None] / 127.5 - 1
    damaged = clean * 0.5
    training = Pix2Pix(size, device, "fp32", 0)
    losses = [training.train_step(damaged, clean)["l1"] for _ in range(20)]
    assert losses[-1] < 0.95 * losses[0]
    resumed = Pix2Pix(size, device, "fp32", 1)
    resumed.set_state(copy.deepcopy(training.get_state()))
    torch.manual_seed(5)
    expected = training.train_step(damaged, clean)
    torch.manual_seed(5)
    assert resumed.train_step(damaged, clean) == pytest.approx(expected, rel=1e-5)


def test_changes_of_a_restoration_are_marks_but_its_tone_is_not() -> None:
    """A filled scratch is found; a brighter photograph has none."""
    clean = np.full((40, 40, 3), 120, np.uint8)
    damaged = clean.copy()
    damaged[20] = 255
    assert np.array_equal(find_changes(damaged, clean) > 0, (damaged == 255).all(2))
    assert not find_changes(clean, clean + 50).any()


def test_quality_chooses_each_source_once_and_refuses_those_trained_on(pairs: Path) -> None:
    """One pair a source; a source that training pairs share is an error."""
    heldout, training = (PairReader(pairs, split=split) for split in ("val", "train"))
    chosen = choose_pairs(training, 100)
    keys = [training.recipe(index).key for index in chosen]
    assert (
        len(keys) == len(set(keys)) == len({training.recipe(i).key for i in range(len(training))})
    )
    assert len(check_heldout(heldout, choose_pairs(heldout, 1), training)) == 1
    with pytest.raises(click.ClickException, match="trained on"):
        check_heldout(training, chosen, training)


@pytest.mark.slow
def test_rival_is_measured_beside_ours(pairs: Path, tmp_path: Path) -> None:
    """A trained U-Net comes out beside our weights, doing nothing and the classical chain."""
    weights = tmp_path / "pix2pix.safetensors"
    save_unet(weights, UNet(UNetConfig(width=4, size_px=32)), {"minutes": 3})
    report = evaluate(MODELS / "tiny.zip", weights, pairs, limit=2, draws=2, threads=1)
    methods = report["sections"]["default"]["methods"]
    assert {"ours", "nothing", "classical", "pix2pix"} <= set(methods)
    assert report["pix2pix"]["minutes"] == 3


def test_quality_measures_undamaged_photographs_against_themselves(pairs: Path) -> None:
    """Doing nothing to an undamaged photograph is perfect: 50 dB, no difference in colour."""
    reader = PairReader(pairs, split="train")
    items = iterate_section("undamaged", reader, [0, 1], 0)
    measured = measure_section(items, {"nothing": keep_as_is})
    assert not measured.has_marks
    for row in measured.photos["nothing"]:
        assert row.values["psnr_db"] == pytest.approx(50)
        assert row.values["luma_psnr_db"] == pytest.approx(50)
        assert row.values["delta_e"] == 0
    assert measured.sets["nothing"][0]["swd"] == 0


def test_judge_asks_for_intervals_that_do_not_overlap() -> None:
    """Ahead with overlapping intervals misses the bar, though the paired difference is clear."""

    def section(low: float) -> dict[str, object]:
        ours = {"luma_psnr_db": {"value": 22.0, "low": low, "high": 23.0}}
        nothing = {"luma_psnr_db": {"value": 18.0, "low": 17.0, "high": 20.0}}
        gain = {"luma_psnr_db": {"value": 4.0, "low": 3.5, "high": 4.5}}
        return {
            "methods": {"ours": ours, "nothing": nothing},
            "ours_minus": {"ours": {"nothing": gain}},
        }

    apart, overlapping = (judge({"default": section(low)}, "ours") for low in (20.5, 19.5))
    assert [bar["met"] for bar in apart] == [True, True]
    assert [bar["met"] for bar in overlapping] == [False, True]
    assert overlapping[0]["paired"]


def test_fastai_and_bare_loop_take_the_same_steps(pairs: Path, tmp_path: Path) -> None:
    """What is compared is the loop alone: after the same steps the weights are equal."""
    from benchmarks.speed.loops import BareLoop, FastaiLoop, FixedBatches, measure_difference
    from train.data.builds import Builds
    from train.data.pairs import StagePairs
    from train.run.learner import build_networks

    device = torch.device("cpu")
    config, stage = TINY.without("consistency"), TINY.stages[0]
    builds = Builds(pairs, split="train")
    ours, theirs, untrained = (build_networks(config, device) for _ in range(3))
    batches = FixedBatches(StagePairs(builds, stage, 0, 0), 3, device)
    fastai = FastaiLoop(ours, config, stage, batches, tmp_path, device)
    meter = fastai.run()
    fastai.log.close()
    BareLoop(theirs, config, stage, batches).run()
    assert meter.num_steps == 3
    assert 0 <= meter.waiting_s < meter.seconds
    assert measure_difference(ours, untrained) > 0
    assert measure_difference(ours, theirs) < 1e-6


@pytest.mark.parametrize("script", SCRIPTS)
def test_benchmark_explains_itself(script: str) -> None:
    """--help of each script works as a file and as a module, and says what it measures."""
    for words in ([f"benchmarks/{script.replace('.', '/')}.py"], ["-m", f"benchmarks.{script}"]):
        # PYTHONPATH is what an editable install does.
        done = subprocess.run(
            [sys.executable, *words, "--help"], capture_output=True, text=True, check=True,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert "Usage" in done.stdout or "usage" in done.stdout


def test_no_benchmark_has_the_name_of_another_module() -> None:
    """A script's folder comes first on Python's path, so a namesake there would be imported."""
    taken = {*sys.stdlib_module_names, "degrade", "restore", "train", "torch", "numpy", "cv2"}
    assert not taken & {path.stem for path in (ROOT / "benchmarks").rglob("*.py")}
