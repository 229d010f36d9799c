"""What two processes do for tests/test_train_parallel.py; started by torchrun."""

import json
import sys
from pathlib import Path

from click.testing import CliRunner

from train import parallel
from train.cli import main


def train(*arguments: str) -> tuple[int, str]:
    """Exit status and what was printed, both streams together."""
    result = CliRunner().invoke(main, ["run", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def run_all(pairs: str, presets: Path, runs: Path) -> None:
    """A run that can't be shared, fresh ones, and one that a single process began."""
    results = {
        "uneven": train(
            pairs, "--out", str(runs / "uneven"), "--preset", str(presets / "odd.toml")
        ),
        "fresh": train(pairs, "--out", str(runs / "fresh"), "--preset", str(presets / "even.toml")),
        "close": train(
            pairs, "--out", str(runs / "close"), "--preset", str(presets / "close.toml")
        ),
        "resumed": train("--resume", str(runs / "killed")),
    }
    (runs / f"results-{parallel.get_rank()}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    with parallel.join():
        run_all(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
