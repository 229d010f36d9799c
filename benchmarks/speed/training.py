"""What a training step costs, and what of it is loading and what is the loop.

    python -m benchmarks.speed.training PAIRS [--preset cpu] [--rounds 7] [--steps 6] [--part loop]

Four parts: (a) photographs a second of the loader, with a worker on every core and without workers,
against bare decoding of the same bytes in one process, and the share of real steps in which the
trainer is busy; (b) our fastai loop against a bare PyTorch loop of the same network, loss, data and
precision; (c) the time of a step of each stage of the preset, with and without the consistency
loss; (d) its peak memory, each in a process of its own.

What is compared is run by turns in one process, and ratios are medians over the rounds, so that
what else the machine does matters little. Printed beside the bars of the design; kept as JSON with
the machine's description under `benchmarks/results/`. Single parts may be measured by themselves,
with more rounds, and are kept in a file of their own.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from benchmarks.shared import options
from benchmarks.shared.machine import RESULTS, call_module, describe_machine

if TYPE_CHECKING:
    import torch

    from train.config.run import TrainConfig
    from train.config.stages import StageConfig
    from train.data.builds import Builds

PARTS = ("loader", "waiting", "loop", "steps", "memory")
BARS = {
    "loader_over_bare_decoding": ("at least", 0.7),
    "busy_frac": ("at least", 0.95),
    "fastai_over_bare_loop": ("at most", 1.05),
}


def name_stage(stage: StageConfig, config: TrainConfig) -> str:
    """A stage's kind, size, batch and whether it has the consistency loss."""
    name = f"{stage.kind} {stage.size_px} px x {stage.batch}"
    return name + (" + consistency" if config.has_consistency(stage) else "")


def list_cases(config: TrainConfig) -> list[tuple[StageConfig, TrainConfig]]:
    """Every different stage of a preset, those that can have it with and without consistency."""
    from train.config.losses import LossWeights

    weight = config.weights.consistency or LossWeights().consistency
    weights = msgspec.structs.replace(config.weights, consistency=weight)
    variants = config.without("consistency"), msgspec.structs.replace(config, weights=weights)
    cases: dict[str, tuple[StageConfig, TrainConfig]] = {}
    for stage in config.stages:
        for variant in variants:
            cases.setdefault(name_stage(stage, variant), (stage, variant))
    return list(cases.values())


def list_sizes(config: TrainConfig) -> list[StageConfig]:
    """One stage of each size and batch that the generator trains on."""
    stages = [stage for stage in config.stages if stage.kind == "generator"] or [config.stages[0]]
    return list({(stage.size_px, stage.batch): stage for stage in stages}.values())


def measure_loader(config: TrainConfig, builds: Builds, rounds: int) -> dict[str, Any]:
    """Part (a): the loader with a worker on every core, and in this process, over bare decoding.

    PyTorch gets one thread: others would spin between batches on the cores that are measured.
    """
    import torch

    from benchmarks.speed.loops import measure_reading
    from train.data.loader import PairLoader
    from train.data.pairs import StagePairs

    results: dict[str, Any] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stage in list_sizes(config):
        pairs = StagePairs(builds, stage, config.seed, 0)
        num_steps = max(4, 640 // stage.batch)
        workers = max(config.num_workers, os.cpu_count() or 1)
        loaders = [PairLoader(pairs, stage.batch, num_steps, num) for num in (workers, 0)]
        times = [[measure_reading(loader, builds) for loader in loaders] for _ in range(rounds)]
        ours, alone = zip(*times, strict=True)
        results[f"{stage.size_px} px"] = {
            "num_workers": workers,
            "loader_per_s": _median(m["loader"] for m in ours),
            "bare_per_s": _median(m["bare"] for m in ours),
            "loader_over_bare_decoding": _median(m["loader"] / m["bare"] for m in ours),
            "in_process_per_s": _median(m["loader"] for m in alone),
            "in_process_over_bare_decoding": _median(m["loader"] / m["bare"] for m in alone),
        }
        _note(f"loader, {stage.size_px} px", results[f"{stage.size_px} px"])
    torch.set_num_threads(threads)
    return results


def measure_waiting(
    config: TrainConfig, builds: Builds, rounds: int, steps: int, device: torch.device
) -> dict[str, Any]:
    """Part (a): the share of the trainer's time in which it doesn't wait for the loader."""
    from benchmarks.speed.loops import FastaiLoop
    from train.damage.twin import Damages
    from train.data.loader import PairLoader
    from train.data.pairs import StagePairs
    from train.run.learner import build_networks

    networks = build_networks(config, device)
    results: dict[str, Any] = {}
    for stage in list_sizes(config):
        pairs = StagePairs(builds, stage, config.seed, 0)
        damages = Damages(builds) if config.has_consistency(stage) else None
        loader = PairLoader(pairs, stage.batch, 2 * steps + 1, config.num_workers, damages)
        with tempfile.TemporaryDirectory() as folder:
            loop = FastaiLoop(networks, config, stage, loader, Path(folder), device)
            loop.run()  # warms up
            busy: list[float] = []
            for _ in range(rounds):
                meter = loop.run()
                busy.append(1 - meter.waiting_s / meter.seconds)
            loop.log.close()
        results[f"{stage.size_px} px"] = {"busy_frac": _median(busy)}
        _note(f"trainer, {stage.size_px} px", results[f"{stage.size_px} px"])
    return results


def measure_loop(
    config: TrainConfig, builds: Builds, rounds: int, steps: int, device: torch.device
) -> dict[str, Any]:
    """Part (b): fastai against the bare loop, by turns, each first in every other round."""
    from benchmarks.speed.loops import BareLoop, FastaiLoop, FixedBatches, measure_difference
    from train.data.pairs import StagePairs
    from train.run.learner import build_networks

    config = config.without("consistency")
    results: dict[str, Any] = {}
    for stage in list_sizes(config):
        batches = FixedBatches(StagePairs(builds, stage, config.seed, 0), steps, device)
        ours, theirs = build_networks(config, device), build_networks(config, device)
        with tempfile.TemporaryDirectory() as folder:
            fastai = FastaiLoop(ours, config, stage, batches, Path(folder), device)
            bare = BareLoop(theirs, config, stage, batches)
            times: list[tuple[float, float]] = []
            for number in range(rounds + 1):
                if number % 2:
                    fastai_s, bare_s = fastai.run().seconds, bare.run()
                else:
                    bare_s, fastai_s = bare.run(), fastai.run().seconds
                times.append((fastai_s, bare_s))
            fastai.log.close()
        del times[0]  # the first round warms up
        results[f"{stage.size_px} px"] = {
            "fastai_step_s": _median(f for f, _ in times) / steps,
            "bare_step_s": _median(b for _, b in times) / steps,
            "fastai_over_bare_loop": _median(f / b for f, b in times),
            "weights_differ_by": measure_difference(ours, theirs),
        }
        _note(f"loop, {stage.size_px} px", results[f"{stage.size_px} px"])
    return results


def measure_steps(
    config: TrainConfig, builds: Builds, rounds: int, steps: int, device: torch.device
) -> dict[str, Any]:
    """Part (c): seconds a step of each stage, by turns."""
    from benchmarks.speed.loops import FastaiLoop, FixedBatches
    from train.damage.twin import Damages
    from train.data.pairs import StagePairs
    from train.run.learner import build_networks

    networks = build_networks(config, device)
    with tempfile.TemporaryDirectory() as folder:
        loops: dict[str, FastaiLoop] = {}
        num_photos: dict[str, int] = {}
        for number, (stage, variant) in enumerate(list_cases(config)):
            name = name_stage(stage, variant)
            damages = Damages(builds) if variant.has_consistency(stage) else None
            pairs = StagePairs(builds, stage, config.seed, 0)
            batches = FixedBatches(pairs, steps, device, damages)
            path = Path(folder) / str(number)
            path.mkdir()
            loops[name] = FastaiLoop(networks, variant, stage, batches, path, device)
            num_photos[name] = stage.batch
        times: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(rounds + 1):
            for name, loop in loops.items():
                times[name].append(loop.run().seconds / steps)
        for loop in loops.values():
            loop.log.close()
    results: dict[str, Any] = {}
    for name, values in times.items():
        step_s = _median(values[1:])  # the first round warms up
        results[name] = {"step_s": step_s, "images_per_s": num_photos[name] / step_s}
        _note(name, results[name])
    return results


def measure_memory(
    config: TrainConfig, pairs: Path, preset: str, threads: int, steps: int
) -> dict[str, Any]:
    """Part (d): peak memory of each kind of step, each in a process of its own."""
    results: dict[str, Any] = {}
    for number, (stage, variant) in enumerate(list_cases(config)):
        lines = call_module(
            "benchmarks.speed.training", pairs, "--preset", preset, "--threads", threads,
            "--steps", steps, "--memory-of", number, capture=True,
        )  # fmt: skip
        name = name_stage(stage, variant)
        results[name] = json.loads(lines[-1])
        _note(name, results[name])
    return results


def measure_own_memory(
    case: tuple[StageConfig, TrainConfig], builds: Builds, steps: int, device: torch.device
) -> dict[str, Any]:
    """Peak memory of this process, in MB: after the imports, and after some steps."""
    import torch

    from benchmarks.speed.loops import FastaiLoop, FixedBatches
    from train.damage.twin import Damages
    from train.data.pairs import StagePairs
    from train.run.learner import build_networks

    stage, config = case
    imports_mb = _peak_mb()
    networks = build_networks(config, device)
    damages = Damages(builds) if config.has_consistency(stage) else None
    pairs = StagePairs(builds, stage, config.seed, 0)
    batches = FixedBatches(pairs, min(steps, 2), device, damages)
    with tempfile.TemporaryDirectory() as folder:
        loop = FastaiLoop(networks, config, stage, batches, Path(folder), device)
        for _ in range(2):
            loop.run()
        loop.log.close()
    results = {"imports_mb": imports_mb, "peak_mb": _peak_mb()}
    if device.type == "cuda":
        results["device_peak_mb"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return results


def _peak_mb() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # its ru_maxrss would count the memory of whoever started this process
        lines = status.read_text().splitlines()
        return round(next(int(n.split()[1]) for n in lines if n.startswith("VmHWM")) * 1024 / 1e6)
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)  # bytes on macOS


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def _note(name: str, figures: dict[str, Any]) -> None:
    shown = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in figures.items()
    )
    print(f"{name}: {shown}", file=sys.stderr)


def judge(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every bar of the design with its worst figure over the sizes."""
    bars = []
    for part in ("loader", "waiting", "loop"):
        for name, (sense, bar) in BARS.items():
            values = {s: row[name] for s, row in report.get(part, {}).items() if name in row}
            if not values:
                continue
            worst = max(values, key=lambda s: values[s] if sense == "at most" else -values[s])
            met = values[worst] <= bar if sense == "at most" else values[worst] >= bar
            bars.append(
                {"name": name, "bar": f"{sense} {bar}", "worst": values[worst], "at": worst,
                 "met": met}
            )  # fmt: skip
    return bars


@click.command()
@options.pairs
@click.option("--preset", default="cpu", show_default=True, metavar="NAME|FILE",
              help="As of train run.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True, metavar="N")
@click.option("--steps", type=click.IntRange(min=2), default=6, show_default=True, metavar="N",
              help="Of a round.")  # fmt: skip
@options.threads
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS,
              show_default="all", help="Measure only this; may be given repeatedly.")  # fmt: skip
@click.option("--memory-of", type=int, hidden=True)
@click.option("--results", type=click.Path(file_okay=False, path_type=Path),
              default=RESULTS, help="Folder for the results.")  # fmt: skip
def main(
    pairs: Path, preset: str, rounds: int, steps: int, threads: int, parts: tuple[str, ...],
    memory_of: int | None, results: Path,
) -> None:  # fmt: skip
    """Measure, print the ratios, keep the figures."""
    from train.machine import keep_memory

    keep_memory()  # as train run does
    import torch

    from train.config.files import load_preset
    from train.data.builds import Builds
    from train.parallel import pick_device

    torch.set_num_threads(threads)
    device = pick_device()
    config = load_preset(preset)
    builds = Builds(pairs, split="train")
    if memory_of is not None:
        case = list_cases(config)[memory_of]
        click.echo(json.dumps(measure_own_memory(case, builds, steps, device)))
        return
    manifest = builds.readers[0].manifest
    report: dict[str, Any] = {
        "machine": describe_machine(threads, "torch", "numpy") | {"device": device.type},
        "preset": config.name,
        "precision": config.precision,
        "pairs": {"digest": manifest.digest, "size_px": manifest.size_px},
        "rounds": rounds,
        "steps_a_round": steps,
    }
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "loader": lambda: measure_loader(config, builds, rounds),
        "waiting": lambda: measure_waiting(config, builds, rounds, steps, device),
        "loop": lambda: measure_loop(config, builds, rounds, steps, device),
        "steps": lambda: measure_steps(config, builds, rounds, steps, device),
        "memory": lambda: measure_memory(config, pairs, preset, threads, steps),
    }
    chosen = [part for part in PARTS if part in parts]
    for part in chosen:
        report[part] = measures[part]()
    report["bars"] = judge(report)
    for bar in report["bars"]:
        verdict = "met" if bar["met"] else "MISSED"
        click.echo(
            f"{verdict:7}{bar['name']} {bar['worst']:.3f} at {bar['at']} (bar: {bar['bar']})"
        )
    for name, row in report.get("steps", {}).items():
        memory_mb = report.get("memory", {}).get(name, {}).get("peak_mb", "-")
        click.echo(
            f"{name:44}{row['step_s']:8.3f} s{row['images_per_s']:8.1f} images/s {memory_mb} MB"
        )
    results.mkdir(parents=True, exist_ok=True)
    kept = "-".join(["train-speed", *(chosen if len(chosen) < len(PARTS) else [])])
    (results / f"{kept}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
