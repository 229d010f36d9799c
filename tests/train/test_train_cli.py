import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from training_runs import TINY, build_pairs, run_train, write_preset

from train.cli import main
from train.config.files import decode_config, encode_config, list_presets, load_preset
from train.errors import ConfigError
from train.network.checkpoint import read_info


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of twelve pairs."""
    return build_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset file of one short stage."""
    config = msgspec.structs.replace(TINY, stages=TINY.stages[:1])
    return write_preset(tmp_path_factory.mktemp("presets") / "tiny.toml", config)


def call_train(*arguments: object) -> Result:
    """Run the train command in this process, which has imported torch already."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.slow
def test_run_evaluate_and_export_work_from_the_shell(
    pairs: Path, preset: Path, tmp_path: Path
) -> None:
    """Train, export under a name, and measure what was exported."""
    done = run_train("run", pairs, "--out", tmp_path / "run", "--preset", preset)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["weights"] == str(tmp_path / "run" / "model.zip")
    assert done.stderr == ""

    output = tmp_path / "named.safetensors"
    done = run_train("export", tmp_path / "run", "-o", output, "--name", "mine")
    assert done.returncode == 0, done.stderr
    assert read_info(output).metadata.name == "mine"

    done = run_train("evaluate", output, pairs, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["model"] == "mine"
    assert results["num_photos"] == 2
    assert set(results["methods"]) == {"network", "nothing", "classical", "floor"}
    for name in ("luma_psnr_db", "ssim", "delta_e", "swd", "marks_f1", "error_inside_marks"):
        assert name in results["methods"]["network"]
    assert all("network" in slice_ for slice_ in results["faults"].values())


def test_a_second_run_needs_force(pairs: Path, preset: Path, tmp_path: Path) -> None:
    """A folder that isn't empty is refused, and kept as it was."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.json").write_text("{}")
    (out / "notes.json").write_text("mine")
    done = call_train("run", pairs, "-o", out, "--preset", preset)
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "notes.json"]
    assert call_train("run", pairs, "-o", out, "--preset", preset, "--force").exit_code == 0
    assert (out / "notes.json").read_text() == "mine"


def test_folder_without_a_run_is_never_taken(pairs: Path, preset: Path, tmp_path: Path) -> None:
    """Not even by force: the pairs themselves, or any other folder."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "package.json").write_text("mine")
    for folder in (pairs, other):
        before = sorted(folder.rglob("*"))
        done = call_train("run", pairs, "-o", folder, "--preset", preset, "--force")
        assert done.exit_code == 1
        assert "holds no run" in done.stderr
        assert sorted(folder.rglob("*")) == before


def test_missing_pairs_are_one_line_and_leave_nothing(preset: Path, tmp_path: Path) -> None:
    """A wrong folder is named."""
    done = call_train("run", tmp_path / "absent", "--out", tmp_path / "run", "--preset", preset)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "absent" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_of_anything_else_is_refused(preset: Path, tmp_path: Path) -> None:
    """A folder that holds no pairs is refused."""
    (tmp_path / "photos").mkdir()
    done = call_train("run", tmp_path / "photos", "--out", tmp_path / "run", "--preset", preset)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1


def test_another_format_version_is_refused(preset: Path, tmp_path: Path) -> None:
    """Pairs of a newer version are refused with a word about it."""
    pairs = build_pairs(tmp_path)
    manifest = json.loads((pairs / "manifest.json").read_text())
    manifest["format_version"] = 999
    (pairs / "manifest.json").write_text(json.dumps(manifest))
    done = call_train("run", pairs, "--out", tmp_path / "run", "--preset", preset)
    assert done.exit_code == 1
    assert "999" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_no_weights_is_refused(pairs: Path, tmp_path: Path) -> None:
    """`evaluate` names the file."""
    (tmp_path / "photo.jpg").write_bytes(b"a photograph, say")
    done = call_train("evaluate", tmp_path / "photo.jpg", pairs)
    assert done.exit_code == 1
    assert "photo.jpg: not a weights file" in done.stderr


def test_resume_without_a_run_is_refused(tmp_path: Path) -> None:
    """There is nothing to resume in an empty folder."""
    done = call_train("run", "--resume", tmp_path)
    assert done.exit_code == 1
    assert "no run to resume" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "pairs"], "--output"),
        (["run", "--out", "run"], "PAIRS"),
        (["run", "pairs", "--out", "run", "--preset", "huge"], "no preset 'huge'"),
        (["run", "pairs", "--out", "run", "--without", "beauty"], "beauty"),
        (["run", "pairs", "--out", "run", "--minutes", "0"], "--minutes"),
        (["run", "--resume", "run", "--seed", "3"], "--resume takes no other options"),
        (["run", "--resume", "run", "--pretrained"], "--resume takes no other options"),
        (["run", "pairs", "--out", "run", "--pretrained"], "presets with a global branch"),
        (
            ["run", "p", "--out", "r", "--preset", "cpu", "--pretrained", "--init", "w"],
            "exclude each other",
        ),
        (["export", "."], "-o OUTPUT"),
        (["find-lr", "pairs", "--steps", "3"], "--steps"),
        (["run", "--resume", "run", "--force"], "takes no other options"),
        (["run", "--resume", "run", "--preset", "cpu"], "takes no other options"),
        (["run", "pairs", "-o", "run", "--seed", str(2**70)], "--seed"),
    ],
)
def test_bad_options_exit_with_2(arguments: list[str], message: str) -> None:
    """What can't be meant is answered with the usage."""
    done = call_train(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_bad_preset_file_names_the_field(pairs: Path, tmp_path: Path) -> None:
    """A wrong field is named with its place."""
    path = tmp_path / "mine.toml"
    write_preset(path)
    path.write_text(path.read_text().replace("batch = 4", "batch = 0", 1))
    done = call_train("run", pairs, "--out", tmp_path / "run", "--preset", path)
    assert done.exit_code == 2
    assert "batch" in done.stderr or "stages[0]" in done.stderr


def test_help_imports_neither_torch_nor_albumentations() -> None:
    """Help comes at once: the heavy packages are blocked and nothing misses them."""
    code = (
        "import sys\n"
        "for name in ('torch', 'fastai', 'albumentations', 'lmdb'): sys.modules[name] = None\n"
        "from train.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    for command in ([], ["run"], ["evaluate"], ["export"], ["find-lr"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout


@pytest.mark.parametrize("name", ["cpu", "gpu", "quick"])
def test_presets_are_nogan(name: str) -> None:
    """Sizes grow while the generator learns, its branch first; then the critic, then both."""
    config = load_preset(name)
    kinds = [stage.kind for stage in config.stages]
    alone = [stage.size_px for stage in config.stages if stage.kind == "generator"]
    assert config.name == name
    assert kinds[-2:] == ["critic", "adversarial"]
    rest = kinds[1:-2] if config.generator.global_px else kinds[:-2]
    assert set(rest) == {"generator"}
    assert (kinds[0] == "global") == bool(config.generator.global_px)
    assert alone == sorted(alone)
    assert decode_config(encode_config(config), name) == config


def test_presets_are_listed() -> None:
    """The five presets come with the package."""
    assert list_presets() == ["color", "cpu", "gpu", "quick", "repair"]


def test_switching_off_an_unknown_term_is_refused() -> None:
    """The names of the terms are given."""
    with pytest.raises(ConfigError, match="luma"):
        TINY.without("beauty")
    assert TINY.without("marks").weights.marks == 0
