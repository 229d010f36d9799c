"""The command `restore`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from restore.cli.options import (
    WordsFirst,
    make_settings,
    print_any_name,
    settings_options,
    weights_options,
    writing_options,
)

if TYPE_CHECKING:
    from restore.album.plan import Job
    from restore.hints import Hint

_EXISTING = click.Path(path_type=Path, exists=True)


class _MarksIn(click.Path):
    """A mask's path, or the word "infrared"."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "infrared" else super().convert(value, param, ctx)


@click.command(cls=WordsFirst, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write: a folder, if it exists or its name has no suffix (made if missing; "
    "folders inside a folder are repeated in it); else a file, for one photograph, whose suffix "
    "decides the format.  [default: PHOTO.restored.SUFFIX beside the photograph]",
)
@click.option("--out-dir", type=click.Path(path_type=Path, file_okay=False), hidden=True)
@click.option("--recursive", is_flag=True, help="Look into folders inside folders, too.")
@weights_options
@settings_options
@click.option(
    "--marks-out",
    type=click.Path(path_type=Path),
    help="Write the damage that was found as a mask (.png); a folder for several photographs.",
)
@click.option(
    "--marks-in",
    type=_MarksIn(path_type=Path, exists=True),
    metavar="PATH|infrared",
    help="Mask of your own, of any size, light where there is damage; for several photographs a "
    "folder of masks named PHOTO.marks.png. The word infrared takes dust and scratches from the "
    "infrared channel of a film scanner.",
)
@click.option(
    "--marks-mode",
    type=click.Choice(["add", "replace", "edit"]),
    default="add",
    show_default=True,
    help="Whether --marks-in counts besides the damage that is found, or instead; edit: white is "
    "damage, black is none, grey is what is found.",
)
@click.option(
    "--color-at",
    "hint_texts",
    multiple=True,
    metavar="X,Y=#RRGGBB",
    help="Colour of a place, in pixels of the upright photograph or, as in 50%,30%=#7a4b2c, in "
    "percent; may be given repeatedly.",
)
@click.option(
    "--hints",
    "hints_file",
    type=_EXISTING,
    help="A transparent picture of any size, painted with colours, or a file of hints that the "
    "page saved; for several photographs a folder of PHOTO.hints.png or .json.",
)
@click.option(
    "--page",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which page of a file of several, from 1.  [default: the first of full resolution]",
)
@click.option(
    "--pages",
    type=click.Choice(["all"]),
    help="Restore all pages: to a TIFF file of as many, else to numbered files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per photograph.")
@click.option(
    "--compare", is_flag=True, help="Write a picture of before and after, OUTPUT.compare.jpg, too."
)
@click.option(
    "--report",
    is_flag=True,
    help="Write how faithful the restoration is, PHOTO.report.html and .json, too.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there, restore again what is done.")
@writing_options
@click.version_option(package_name="old-pictures-restoration", prog_name="restore")
def main(
    photos: tuple[Path, ...],
    output: Path | None,
    out_dir: Path | None,
    recursive: bool,
    model: Path | None,
    device: str,
    strength: float,
    denoise: float,
    repair: float,
    old_repair: float | None,
    tone: float,
    color: float,
    no_colorize: bool,
    regrain: float,
    marks_out: Path | None,
    marks_in: Path | Literal["infrared"] | None,
    marks_mode: str,
    hint_texts: tuple[str, ...],
    hints_file: Path | None,
    page: int | None,
    pages: str | None,
    as_json: bool,
    compare: bool,
    report: bool,
    force: bool,
    tile_px: int,
    quality: int | None,
    no_provenance: bool,
) -> None:
    """Restore old photographs: PHOTOS are files, folders or patterns.

    \b
    restore grandma.jpg                     writes grandma.restored.jpg
    restore scan.tif -o scan.png --no-colorize
    restore album --recursive -o restored
    restore grandma.jpg --repair 1 --denoise 0 --tone 0 --color 0   only repair
    restore grandma.jpg --report            and says how faithful it is
    restore serve                           opens a page in the browser
    restore watch scans                     restores what comes into a folder

    The photograph itself is never changed. Format, depth, profile, resolution and metadata are
    kept. Exit status 1 if a photograph failed; the others are restored nevertheless.
    """  # noqa: D301  # \b is click's mark for text to leave as it is
    from restore.album.batch import Batch
    from restore.album.plan import PassedOver, Places, as_plan_error, find_photos, is_output
    from restore.cli.interrupts import ending_cleanly
    from restore.errors import RestoreError
    from restore.scan.provenance import digest_weights

    click.get_current_context().with_resource(ending_cleanly())
    print_any_name()
    if page is not None and pages is not None:
        raise click.BadParameter("give --page or --pages, not both")
    if output is not None and out_dir is not None:
        raise click.BadParameter("give -o once; --out-dir is its old name for folders")
    if output is not None and _names_folder(output):
        output, out_dir = None, output
    everything = list(find_photos(photos, recursive=recursive, out_dir=out_dir))
    found = [one for one in everything if not isinstance(one, PassedOver)]
    single = len(photos) == 1 and not os.path.isdir(photos[0]) and len(found) == 1
    if output is not None and not single:
        raise click.BadParameter(
            f"{output} names a file, for one photograph; for several name a folder, as in "
            f"-o {output.stem}"
        )
    if no_colorize and (hint_texts or hints_file is not None):
        raise click.BadParameter("hints of colour and --no-colorize exclude each other")
    settings = make_settings(
        strength=strength,
        denoise=denoise,
        repair=repair if old_repair is None else old_repair,
        tone=tone,
        color=color,
        no_colorize=no_colorize,
        regrain=regrain,
        marks_mode=marks_mode,
        hints=_parse_hints(hint_texts),
    )
    batch = Batch(as_json=as_json, num_photos=len(found))
    for one in everything:
        if isinstance(one, PassedOver):
            batch.say(f"{one.folder}: {one.text}")
    weights = digest_weights(model)
    jobs: list[Job] = []
    places = Places(one.photo for one in found if not one.problem and not is_output(one.photo))
    for photo, folder, problem in found:
        if problem:
            batch.fail(photo, problem)
            continue
        try:
            with as_plan_error(photo):
                planned = _plan_jobs(
                    photo,
                    output=output,
                    out_dir=out_dir,
                    folder=folder,
                    marks_in=marks_in,
                    hints=hints_file,
                    marks_out=marks_out,
                    single=single,
                    compare=compare,
                    report=report,
                    add_provenance=not no_provenance,
                    quality=quality,
                    weights=weights,
                    page=page,
                    all_pages=pages == "all",
                    may_replace=force,
                )
        except RestoreError as error:
            batch.fail(photo, str(error))
            continue
        for job in planned:
            try:
                places.take(job)
                with as_plan_error(photo):
                    if not batch.may_skip(job, settings, force=force, named=output is not None):
                        jobs.append(job)
            except RestoreError as error:
                batch.fail(photo, str(error))
    if jobs:
        from restore.restorer import Restorer

        restorer = Restorer.load(model, device, tile_px=tile_px)  # type: ignore[arg-type]  # click checked it
        has_hints = settings.hints or any(job.hints for job in jobs)
        if has_hints and not restorer.network.takes_hints:
            from restore.passes.look import NO_HINTS

            raise click.ClickException(NO_HINTS.format(restorer.name))
        where = "" if model is None else f" ({model})"
        batch.say(f"model: {restorer.name}{where} on {restorer.device}")
        batch.run(restorer, jobs, settings)
    batch.finish()


def _parse_hints(texts: tuple[str, ...]) -> tuple[Hint, ...]:
    from restore.hints import parse_hint

    try:
        return tuple(map(parse_hint, texts))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--color-at") from error


def _find_for(photo: Path, folder: Path, given: Path | None, *suffixes: str) -> Path | None:
    """The file that was given, or in a folder the one for this photograph, if there is one.

    Folders inside the photographs' folder may be repeated in it.
    """
    if given is None or not given.is_dir():
        return given
    inside = given / folder if (given / folder).is_dir() else given
    names = [inside / f"{photo.stem}{suffix}" for suffix in suffixes]
    return next((name for name in names if name.exists()), None)


def _names_folder(output: Path) -> bool:
    # Unlike paths, these don't raise where the name is too long.
    return os.path.isdir(output) or (not output.suffix and not os.path.exists(output))


def _plan_jobs(
    photo: Path,
    *,
    output: Path | None,
    out_dir: Path | None,
    folder: Path,
    marks_in: Path | Literal["infrared"] | None,
    hints: Path | None,
    marks_out: Path | None,
    single: bool,
    compare: bool,
    report: bool,
    add_provenance: bool,
    quality: int | None,
    weights: str,
    page: int | None,
    all_pages: bool,
    may_replace: bool,
) -> list[Job]:
    from importlib.metadata import version

    from restore.album.plan import Job, default_output, make_folder, report_paths, split_pages
    from restore.errors import PhotoError
    from restore.scan.output import output_format

    target = (
        output
        if output is not None
        else default_output(photo, None if out_dir is None else out_dir / folder, page=page)
    )
    output_format(target)
    mask_name = f"{photo.stem}.marks.png"
    if marks_out is not None and (not single or marks_out.is_dir()):
        marks_out = marks_out / folder / mask_name
    if marks_out is not None and marks_out.suffix.lower() != ".png":
        raise PhotoError(f"{marks_out}: marks are written as .png")
    for path in (target, marks_out):
        if path is not None and (path is not target or out_dir is not None):
            make_folder(path.parent)
    comparison = target.with_name(f"{target.stem}.compare.jpg") if compare else None
    job = Job(
        photo=photo,
        output=target,
        marks_in=(
            marks_in if marks_in == "infrared" else _find_for(photo, folder, marks_in, ".marks.png")
        ),
        hints=_find_for(photo, folder, hints, ".hints.png", ".hints.json"),
        marks_out=marks_out,
        compare=comparison,
        report=report_paths(target) if report else None,
        add_provenance=add_provenance,
        version=version("old-pictures-restoration"),
        quality=quality,
        weights=weights,
        page=page,
        all_pages=all_pages,
        may_replace=may_replace,
    )
    return split_pages(job) if all_pages else [job]
