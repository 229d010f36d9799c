"""Count the votes of readers who looked at the sheets of `blind.py`.

    python benchmarks/judged/votes.py KEY.json VOTES.csv...

A table of votes has the columns reader, sheet, question and choice (left or right), one file for
all readers or one each. The share of votes for A comes with an interval of 95 %. Votes of several
readers on one sheet resemble each other, so the interval is as wide as if each sheet had one vote.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

_SIDES = ("left", "right")
_Z = 1.959964  # of a normal distribution, 95 % lie within


class Vote(NamedTuple):
    """What one reader answered to one question on one sheet."""

    reader: str
    sheet: str
    question: str
    choice: str


class Share(NamedTuple):
    """How often A was chosen.

    Attributes:
        value: Share of all votes.
        low: Lower end of the interval of 95 %.
        high: Its upper end.
        num_votes: How many there are.
        num_sheets: On how many sheets.
    """

    value: float
    low: float
    high: float
    num_votes: int
    num_sheets: int


def read_votes(file: Path) -> list[Vote]:
    """Read a table; rows without a choice weren't answered, and are left out.

    Raises:
        click.ClickException: If a column is missing or a choice is neither left nor right.
    """
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    votes = []
    for number, row in enumerate(rows, 2):
        try:
            values = {name: (row[name] or "").strip() for name in Vote._fields if name != "reader"}
        except KeyError as error:
            raise click.ClickException(f"{file}: no column {error}") from error
        reader = (row.get("reader") or "").strip() or file.stem
        choice = values["choice"].lower()
        if choice and choice not in _SIDES:
            raise click.ClickException(f"{file}, line {number}: {choice!r} is no left or right")
        if choice:
            votes.append(Vote(reader, values["sheet"], values["question"].lower(), choice))
    return votes


def count_votes(votes: Iterable[Vote], key: dict[str, Any]) -> dict[str, Share]:
    """The share of votes for A, by question.

    Args:
        votes: Of all readers.
        key: As `blind.py` writes it.

    Raises:
        click.ClickException: If a sheet isn't in the key, or a reader answered a question twice.
    """
    sides = {entry["sheet"]: entry for entry in key["sheets"]}
    chosen: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    seen = set()
    for vote in votes:
        if vote.sheet not in sides:
            raise click.ClickException(f"{vote.sheet}: no sheet of this key")
        if vote[:3] in seen:
            raise click.ClickException(
                f"{vote.sheet}: {vote.reader} answered {vote.question!r} twice"
            )
        seen.add(vote[:3])
        chosen[vote.question].append((vote.sheet, sides[vote.sheet][vote.choice] == "a"))
    return {question: estimate_share(answers) for question, answers in chosen.items()}


def estimate_share(answers: Sequence[tuple[str, bool]]) -> Share:
    """Share of answers that are true, with its interval; each has the sheet that it is about.

    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference"; n is
        the number of sheets rather than of votes.
    """
    share = sum(is_a for _, is_a in answers) / len(answers)
    num = len({sheet for sheet, _ in answers})
    middle = (share + _Z**2 / (2 * num)) / (1 + _Z**2 / num)
    reach = _Z * math.sqrt(share * (1 - share) / num + _Z**2 / (4 * num**2)) / (1 + _Z**2 / num)
    return Share(share, max(0.0, middle - reach), min(1.0, middle + reach), len(answers), num)


@click.command()
@click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("votes", nargs=-1, required=True, metavar="VOTES...",
                type=click.Path(exists=True, dir_okay=False, path_type=Path))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(key: Path, votes: tuple[Path, ...], as_json: bool) -> None:
    """Print the share of votes for A by question, of all readers and of each."""
    known = json.loads(key.read_text("utf-8"))
    cast = [vote for file in votes for vote in read_votes(file)]
    if not cast:
        raise click.ClickException(f"{votes[0]}: no votes; fill in left or right")
    readers = sorted({vote.reader for vote in cast})
    counted = {"all": count_votes(cast, known)}
    for reader in readers if len(readers) > 1 else []:
        counted[reader] = count_votes([vote for vote in cast if vote.reader == reader], known)
    if as_json:
        plain = {
            reader: {question: share._asdict() for question, share in shares.items()}
            for reader, shares in counted.items()
        }
        click.echo(json.dumps({"a": known["a"], "b": known["b"], "share_of_a": plain}, indent=1))
        return
    click.echo(f"share of votes for A ({known['a']}) rather than B ({known['b']})")
    for reader, shares in counted.items():
        for question, share in shares.items():
            meaning = ", A taken for the real one" if question == "real" else ""
            click.echo(
                f"{reader:12}{question:10}{share.value:6.1%} [{share.low:.1%}, {share.high:.1%}]  "
                f"{share.num_votes} votes on {share.num_sheets} sheets{meaning}"
            )


if __name__ == "__main__":
    main()
