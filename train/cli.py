"""The `train` command; torch and fastai are imported only when a command runs."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from degrade.errors import DegradeError
from restore.errors import RestoreError
from train.config.files import list_presets, load_preset
from train.config.losses import LOSS_NAMES
from train.config.run import TrainConfig
from train.errors import ConfigError, TrainError

if TYPE_CHECKING:
    from train.network.export import Precision

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _explain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the packages' own errors into one line and exit status 1."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            command(**options)
        except (TrainError, RestoreError, DegradeError) as error:
            raise click.ClickException(str(error)) from error

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="old-pictures-restoration", prog_name="train")
def main() -> None:
    """Train the network that restores photographs.

    \b
    Examples:
      train run pairs/ -o run/ --preset cpu --minutes 90
      train run --resume run/
      train evaluate run/model.zip pairs/
      train export run/ -o portrait.zip
    """  # noqa: D301 - click wants the backspace itself
    from train.machine import keep_memory

    keep_memory()


@main.command()
@click.argument("pairs", type=_FOLDER, nargs=-1)
@click.option(
    "-o",
    "--output",
    "out",
    type=_FOLDER,
    help="Folder of the run: log, sheets, weights.",
)
@click.option("--out", "old_out", type=_FOLDER, hidden=True)
@click.option(
    "--preset",
    default="quick",
    show_default=True,
    metavar="NAME|FILE",
    help=f"What to do: {', '.join(list_presets())}, or a TOML file.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1),
    metavar="M",
    help="End in this time, with all stages and schedules complete; else the preset's steps.",
)
@click.option("--init", type=_FILE, help="Weights file to start from.")
@click.option("--resume", type=_FOLDER, metavar="RUN", help="Continue an interrupted run.")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(LOSS_NAMES),
    help="Leave a loss term out; may be repeated.",
)
@click.option(
    "--pretrained",
    is_flag=True,
    help="Start the encoders of global branch and colour network from ImageNet weights.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the preset's seed.")
@click.option("--force", is_flag=True, help="Replace the run that is there.")
@_explain_errors
def run(
    pairs: tuple[Path, ...],
    out: Path | None,
    old_out: Path | None,
    preset: str,
    minutes: float | None,
    init: Path | None,
    resume: Path | None,
    without: tuple[str, ...],
    pretrained: bool,
    seed: int | None,
    force: bool,
) -> None:
    """Train on PAIRS, a folder written by degrade build, or on several by turns.

    Started by torchrun, several processes share each batch: one for each GPU, or on CPUs.

    \b
    Examples:
      train run pairs/ -o run/
      train run pairs/ -o run/ --preset cpu --minutes 90 --init old.safetensors
      train run large-pairs/ small-pairs/ -o run/ --preset repair
      train run --resume run/
      torchrun --nproc-per-node 2 -m train run pairs/ -o run/
    """  # noqa: D301 - click wants the backspace itself
    out = out or old_out
    if resume is not None:
        source = click.get_current_context().get_parameter_source("preset")
        is_preset = source is not ParameterSource.DEFAULT
        others = (out, init, without, pretrained, minutes, force, is_preset)
        if any(others) or seed is not None:
            raise click.UsageError("--resume takes no other options: the run goes on as it began")
        from train.run.run import resume_run

        start = functools.partial(resume_run, resume, pairs)
    else:
        if not pairs:
            raise click.UsageError("missing argument PAIRS")
        if out is None:
            raise click.UsageError("missing option --output")
        config = _load_preset(preset).without(*without)
        if seed is not None:
            config = msgspec.structs.replace(config, seed=seed)
        if pretrained:
            if not config.has_classifier:
                raise click.UsageError(
                    "--pretrained is for presets with a global branch (global_px) or a colour "
                    "network (color_encoder)"
                )
            if init is not None:
                raise click.UsageError("--pretrained and --init exclude each other")
            config = msgspec.structs.replace(config, pretrained=True)
        from train.run.run import Run

        start = functools.partial(Run, out, pairs, config, minutes=minutes, init=init, force=force)
    from train import parallel

    with parallel.join():
        with parallel.raise_together():
            training = start()
        scores = training.train()
        if parallel.is_main():
            from train.run.folder import MODEL_NAME

            weights = training.folder / MODEL_NAME
            click.echo(json.dumps({"weights": str(weights), **scores}))


@main.command()
@click.argument("weights", type=_FILE)
@click.argument("pairs", type=_FOLDER)
@click.option(
    "--split",
    type=click.Choice(["val", "train"]),
    default="val",
    show_default=True,
    help="Which pairs of the build.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use so many pairs.")
@click.option("--previous", type=_FILE, help="Other weights to measure beside them.")
@click.option(
    "--baselines/--no-baselines",
    default=True,
    help="Measure doing nothing, OpenCV, and true chroma on damaged luma.",
)
@click.option(
    "--likeness/--no-likeness",
    default=True,
    help="Compare faces, where '.[bench]' is installed.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    metavar="N",
    help="Of the bootstrap that gives intervals of 95 %; 0: no intervals.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@_explain_errors
def evaluate(
    weights: Path,
    pairs: Path,
    split: str,
    limit: int | None,
    previous: Path | None,
    baselines: bool,
    likeness: bool,
    draws: int,
    as_json: bool,
) -> None:
    """Measure WEIGHTS on the held-out photographs of PAIRS.

    Beside them stand doing nothing, the classical chain of OpenCV and the floor, which is the true
    chroma on the damaged luma; below, the results are sliced by what the photographs suffered.
    Errors, gains and losses are in units of 1/255. Distances of features need '.[pretrained]',
    likeness '.[bench]'.

    \b
    Example:
      train evaluate run/model.zip pairs/ --limit 200
    """  # noqa: D301 - click wants the backspace itself
    from tqdm import tqdm

    from degrade import PairReader
    from train.measure.evaluate import Evaluation
    from train.measure.table import format_table
    from train.network.checkpoint import load_generator

    generator, info = load_generator(weights)
    earlier = None if previous is None else load_generator(previous)[0]
    evaluation = Evaluation(
        generator,
        PairReader(pairs, split=split),
        previous=earlier,
        baselines=baselines,
        likeness=likeness,
    )
    for index in tqdm(evaluation.choose_pairs(limit), unit="photo", disable=None):
        evaluation.add_pair(index)
    results = evaluation.summarise(draws)
    results = {"model": info.metadata.name, **results}
    for note in results["notes"]:
        click.echo(note, err=True)
    click.echo(json.dumps(results, indent=2) if as_json else format_table(results))
    if results["num_broken"]:
        raise click.ClickException(f"{pairs}: {results['num_broken']} broken samples were skipped")


@main.command()
@click.argument("source", metavar="RUN|FILE", type=click.Path(path_type=Path, exists=True))
@click.argument("file", metavar="[OUTPUT]", type=_FILE, required=False)
@click.option(
    "-o",
    "--output",
    type=_FILE,
    help="File to write: .zip for restore, .safetensors to train on.",
)
@click.option("--name", help="Name in the file, shown by restore; else the run's.")
@click.option("--description", help="One sentence in the file.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp16",
    show_default=True,
    help="Of the stored weights; int8: of the largest layers, for restore.",
)
@click.option("--force", is_flag=True, help="Overwrite.")
@_explain_errors
def export(
    source: Path,
    file: Path | None,
    output: Path | None,
    name: str | None,
    description: str | None,
    precision: Precision,
    force: bool,
) -> None:
    """Write the weights of a run, finished or not, or of a file, as a file for restore.

    \b
    Examples:
      train export run/ -o portrait.zip --name portrait
      train export portrait-of-version-0.1.safetensors portrait.zip
    """  # noqa: D301 - click wants the backspace itself
    if (file is None) == (output is None):
        raise click.UsageError("say once where to write: -o OUTPUT")
    target = output or file
    assert target is not None
    if target.exists() and not force:
        raise click.ClickException(f"{target}: exists; overwrite it with --force")
    from train.run.folder import export_weights

    export_weights(source, target, name=name, description=description, precision=precision)
    click.echo(target)


@main.command("find-lr")
@click.argument("pairs", type=_FOLDER, nargs=-1, required=True)
@click.option(
    "--preset", default="quick", show_default=True, metavar="NAME|FILE", help="See train run."
)
@click.option(
    "--steps",
    type=click.IntRange(min=20),
    default=100,
    show_default=True,
    metavar="N",
    help="Length of the test.",
)
@click.option("--json", "as_json", is_flag=True, help="Also print the losses, as JSON.")
@_explain_errors
def find_lr(pairs: tuple[Path, ...], preset: str, steps: int, as_json: bool) -> None:
    """Suggest a learning rate for the first stage of a preset on PAIRS.

    \b
    Example:
      train find-lr pairs/ --preset cpu
    """  # noqa: D301 - click wants the backspace itself
    config = _load_preset(preset)
    from train.run.find_lr import find_rate

    suggested, tried = find_rate(config, pairs, num_steps=steps)
    click.echo(
        json.dumps({"suggested": suggested, "tried": tried}) if as_json else f"{suggested:.2g}"
    )


def _load_preset(name: str) -> TrainConfig:
    try:
        return load_preset(name)
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint="--preset") from error
