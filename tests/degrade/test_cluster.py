"""Builds on a Dask cluster of real processes, killed for real."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dask_processes import DaskProcesses
from store_photos import build_small, encode, fill_folder, make_lsun, paint_photo, run_degrade

from degrade.store.manifest import SHARD_INFO_NAME

OPTIONS = ("--seed", "7", "--size", "48", "--shard-size", "10")
NUM_PHOTOS = 120


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs for twelve shards and more."""
    return fill_folder(tmp_path_factory.mktemp("cluster") / "photos", NUM_PHOTOS)


@pytest.fixture(scope="module")
def undisturbed(photos: Path) -> Path:
    """The build of one process that all others must equal."""
    build_small(photos, photos.parent / "undisturbed", shard_size=10)
    return photos.parent / "undisturbed"


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler without workers."""
    processes = DaskProcesses(tmp_path_factory.mktemp("dask") / "processes")
    yield processes
    processes.close()


@pytest.fixture
def dask(scheduler: DaskProcesses) -> Iterator[DaskProcesses]:
    """The scheduler, whose workers go after the test."""
    yield scheduler
    scheduler.stop_workers()


def _build(dask: DaskProcesses, photos: Path, out: Path, *options: object) -> tuple[int, str]:
    words = ("--scheduler", dask.scheduler_file, "--wait", 60)
    done = run_degrade("build", photos, out, *OPTIONS, *words, *options, timeout=120)
    return done.returncode, done.stderr


def _start(dask: DaskProcesses, photos: Path, out: Path, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "degrade", "build", photos, out, *OPTIONS]
    command += ["--scheduler", dask.scheduler_file, "--wait", 60, *options]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)


def _wait_for_shards(process: subprocess.Popen[str], out: Path, num_shards: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.lmdb"))) < num_shards and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _is_equal(out: Path, other: Path) -> bool:
    return (
        (out / "manifest.json").read_bytes() == (other / "manifest.json").read_bytes()
        and (out / "rejected.jsonl").read_bytes() == (other / "rejected.jsonl").read_bytes()
        and sorted(os.listdir(out)) == sorted(os.listdir(other))
        and run_degrade("verify", out).returncode == 0
    )


def _read_last_run(out: Path) -> dict[str, object]:
    run: dict[str, object] = json.loads((out / "runs.jsonl").read_text().splitlines()[-1])
    return run


def test_cluster_builds_the_bytes_of_one_process(
    dask: DaskProcesses, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """The same manifest; what the engine did is in a file of its own."""
    for _ in range(2):
        dask.start_worker(nanny=False)
    status, errors = _build(dask, photos, tmp_path / "pairs", "--scratch", tmp_path / "scratch")
    assert status == 0, errors
    assert errors.startswith("Dask at tcp://127.0.0.1:")
    assert _is_equal(tmp_path / "pairs", undisturbed)
    run = _read_last_run(tmp_path / "pairs")
    assert (run["engine"], run["num_shards"], run["retries"]) == ("dask", 13, [])
    assert sum(run["workers"].values()) == 13  # type: ignore[attr-defined]
    assert not list((tmp_path / "scratch").iterdir())
    done = run_degrade("verify", tmp_path / "pairs", "--scheduler", dask.scheduler_file)
    assert done.returncode == 0, done.stderr
    assert "whole: 120 pairs in 13 shards" in done.stdout


def test_cluster_takes_list_limit_and_an_lmdb(dask: DaskProcesses, tmp_path: Path) -> None:
    """Paths relative to where the command runs, which is not where the workers do."""
    values = {f"{number:02x}" * 20: encode(paint_photo(number)) for number in range(12)}
    make_lsun(tmp_path / "lsun", values)
    (tmp_path / "list.txt").write_text("\n".join(sorted(values)[2:]))
    options = ("--limit", 8, "--list", "list.txt", *OPTIONS[:4], "--shard-size", 2)
    dask.start_worker(nanny=False)
    done = run_degrade(
        "build", "lsun", "pairs", *options, "--scheduler", dask.scheduler_file, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert not run_degrade("build", "lsun", "here", *options, cwd=tmp_path).returncode
    assert _is_equal(tmp_path / "pairs", tmp_path / "here")


@pytest.mark.slow
def test_workers_killed_in_mid_shard_change_no_byte(
    dask: DaskProcesses, photos: Path, tmp_path: Path
) -> None:
    """Kill -9 at up to ten random moments; nannies start them again, and the bytes are equal."""
    options = ("--variants", "40", "--shard-size", "200")
    assert not run_degrade("build", photos, tmp_path / "here", *OPTIONS, *options).returncode
    workers = [dask.start_worker() for _ in range(2)]
    out = tmp_path / "pairs"
    process = _start(dask, photos, out, *options)
    rng = random.Random(19)
    num_killed, has_begun = 0, False
    while process.poll() is None and num_killed < 10:
        time.sleep(rng.uniform(0.3, 2))
        has_begun = has_begun or any(out.glob(".*.tmp"))
        if has_begun and rng.choice(workers).kill():
            num_killed += 1
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 1), errors
    if process.returncode == 1:  # three of them met the same shard
        assert "given up" in errors
        assert not run_degrade("build", photos, out, *OPTIONS, *options).returncode
    assert num_killed >= 2  # how many the build outlasts depends on the machine
    assert _is_equal(out, tmp_path / "here")


DIES_AFTER_PUBLISHING = """
import os, signal
from pathlib import Path
from degrade.build.renderer import ShardRenderer
def change(render):
    def render_and_die(self, shard):
        yield from render(self, shard)
        if shard.name == "train-00003.lmdb":
            os.kill(os.getpid(), signal.SIGKILL)
    return render_and_die
ShardRenderer.render = change(ShardRenderer.render)
"""


@pytest.mark.slow
def test_shard_published_by_a_worker_that_died_is_not_rendered_again(
    dask: DaskProcesses, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """The task is done again, sees the shard and skips it: another rendering would kill again."""
    dask.start_worker(DIES_AFTER_PUBLISHING)
    status, errors = _build(dask, photos, tmp_path / "pairs")
    assert status == 0, errors
    assert errors.count("train-00003.lmdb is done again") == 1
    assert len(_read_last_run(tmp_path / "pairs")["retries"]) == 1  # type: ignore[arg-type]
    assert _is_equal(tmp_path / "pairs", undisturbed)


POISON = """
import os, signal
from degrade.build.renderer import ShardRenderer
def change(make):
    def make_or_die(self, position, key):
        if key == "0047.jpg":
            os.kill(os.getpid(), signal.SIGKILL)
        return make(self, position, key)
    return make_or_die
ShardRenderer._make_samples = change(ShardRenderer._make_samples)
"""


@pytest.mark.slow
def test_shard_that_kills_every_worker_is_named_and_the_others_finished(
    dask: DaskProcesses, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Status 1 after three deaths; without what killed them, the same command goes on."""
    for _ in range(2):
        dask.start_worker(POISON)
    out = tmp_path / "pairs"
    status, errors = _build(dask, photos, out)
    assert status == 1
    assert "Error: given up: train-00004.lmdb: killed 3 workers" in errors
    assert len(list(out.glob("*.lmdb"))) == 12
    assert run_degrade("build", photos, out, *OPTIONS).returncode == 0
    assert _is_equal(out, undisturbed)


def test_build_without_workers_gives_up_and_goes_on_later(
    dask: DaskProcesses, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """One line, status 1 after --wait, and processes of this machine finish it."""
    out = tmp_path / "pairs"
    status, errors = _build(dask, photos, out, "--wait", 1)
    assert status == 1
    assert "Error: no worker is left after 1 s; the same command goes on from here" in errors
    assert run_degrade("build", photos, out, *OPTIONS, "--workers", 2).returncode == 0
    assert _is_equal(out, undisturbed)


def test_missing_workers_are_said_in_one_line(
    dask: DaskProcesses, photos: Path, tmp_path: Path
) -> None:
    """After a minute, which is half a second here."""
    script = f"""
from degrade.cli import main
from degrade.cluster import dispatch
dispatch.NOTICE_SECONDS = 0.5
main({["build", str(photos), str(tmp_path / "pairs"), *OPTIONS]!r}
     + ["--scheduler", {str(dask.scheduler_file)!r}, "--wait", "3"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("no worker is left; waiting") == 1


@pytest.mark.slow
def test_lost_scheduler_is_one_line_and_processes_finish_the_build(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Within seconds, and nothing is left running or half-written."""
    dask = DaskProcesses(tmp_path / "dask")
    try:
        dask.start_worker(nanny=False)
        out = tmp_path / "pairs"
        process = _start(dask, photos, out)
        _wait_for_shards(process, out, 2)
        dask.scheduler.kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1, errors
        last = errors.splitlines()[-1]
        assert last.startswith("Error: the scheduler is lost; the same command goes on from here")
        assert "Traceback" not in errors
    finally:
        dask.close()
    assert run_degrade("build", photos, out, *OPTIONS).returncode == 0
    assert _is_equal(out, undisturbed)


OTHER_NUMPY = """
import numpy
numpy.__version__ = "1.99"
"""
OTHER_BYTES = """
from degrade.build.samples import SampleMaker
def change(make):
    def make_otherwise(self, photo, key, variant):
        return make(self, photo // 2, key, variant)
    return make_otherwise
SampleMaker.make = change(SampleMaker.make)
"""


@pytest.mark.slow
def test_workers_that_differ_are_refused_before_they_render(
    dask: DaskProcesses, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """By version and by the digest of a probe; a worker that is right does everything."""
    dask.start_worker(OTHER_NUMPY, nanny=False)
    dask.start_worker(OTHER_BYTES, nanny=False)
    out = tmp_path / "pairs"
    status, errors = _build(dask, photos, out, "--wait", 6)
    assert status == 1
    assert "is not used: it has numpy '1.99' instead of" in errors
    assert "is not used: it renders other bytes from the same versions" in errors
    assert "no worker is left (2 not used) after 6 s" in errors
    assert not list(out.glob("*.lmdb"))
    dask.start_worker(nanny=False)
    status, errors = _build(dask, photos, out)
    assert status == 0, errors
    run = _read_last_run(out)
    assert list(run["workers"].values()) == [13]  # type: ignore[attr-defined]
    assert len(run["refused"]) == 2  # type: ignore[arg-type]
    assert _is_equal(out, undisturbed)


SLOW_TO_CLOSE = """
import time
from degrade.build.cluster import RenderingWorker
def change(close):
    def close_slowly(self):
        time.sleep(1)
        close(self)
    return close_slowly
RenderingWorker.close = change(RenderingWorker.close)
"""


@pytest.mark.slow
def test_build_ends_when_its_workers_have_let_go(
    dask: DaskProcesses, photos: Path, tmp_path: Path
) -> None:
    """No process is left beside them, even if they take a while."""
    worker = dask.start_worker(SLOW_TO_CLOSE, nanny=False)
    status, errors = _build(dask, photos, tmp_path / "pairs", "--limit", 10)
    assert status == 0, errors
    assert not psutil.Process(worker.process.pid).children()


FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
"""


@pytest.mark.slow
def test_worker_with_a_full_scratch_disk_is_set_aside(
    dask: DaskProcesses, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands in for the disk; the other worker does everything."""
    pytest.importorskip("resource")
    dask.start_worker(FULL_DISK, nanny=False)
    out, scratch = tmp_path / "pairs", tmp_path / "scratch"
    status, errors = _build(dask, photos, out, "--scratch", scratch, "--wait", 6)
    assert status == 1
    assert "is not used: " in errors
    assert f"{scratch}" in errors
    assert "cannot be written" in errors
    dask.start_worker(nanny=False)
    status, errors = _build(dask, photos, out, "--scratch", scratch)
    assert status == 0, errors
    assert _is_equal(out, undisturbed)
    assert not list(scratch.iterdir())


@pytest.mark.slow
def test_second_build_into_the_same_folder_is_refused_on_a_cluster(
    dask: DaskProcesses, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """While the first is at work, which goes on undisturbed."""
    out = tmp_path / "pairs"
    first = _start(dask, photos, out)
    deadline = time.monotonic() + 60
    while not (out / ".building" / "settings.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    status, errors = _build(dask, photos, out)
    assert (status, "another build is writing here" in errors) == (1, True), errors
    dask.start_worker(nanny=False)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert _is_equal(out, undisturbed)


@pytest.mark.slow
def test_local_cluster_stops_at_ctrl_c_without_a_trace(photos: Path, tmp_path: Path) -> None:
    """One line, status 130, no half-written shard; meanwhile it listens to this machine only."""
    out = tmp_path / "pairs"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "degrade", "build", str(photos), str(out), *OPTIONS,
             "--variants", "20", "--scheduler", "local:2"],
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    _wait_for_shards(process, out, 2)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    listening = {
        connection.laddr.ip
        for member in family
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert ", its dashboard at http://127.0.0.1:" in errors.splitlines()[0]
    assert errors.splitlines()[1:] == ["Stopped; the same command goes on from here."]
    assert not list(out.glob(".*.tmp"))
    assert _read_last_run(out)["is_finished"] is False


@pytest.mark.slow
def test_cluster_verify_finds_what_verify_finds(
    dask: DaskProcesses, undisturbed: Path, tmp_path: Path
) -> None:
    """Rubbish, a missing shard, a worker killed meanwhile: the same faults in the same order."""
    pairs = Path(shutil.copytree(undisturbed, tmp_path / "pairs"))
    data = pairs / "train-00000.lmdb" / "data.mdb"
    content = bytearray(data.read_bytes())
    content[8192:] = bytes(byte ^ 0xA5 for byte in content[8192:])
    data.write_bytes(content)
    os.truncate(pairs / "train-00005.lmdb" / "data.mdb", 9000)
    shutil.rmtree(pairs / "train-00002.lmdb")
    dask.start_worker(nanny=False)
    here = run_degrade("verify", pairs)
    there = run_degrade("verify", pairs, "--scheduler", dask.scheduler_file)
    assert (there.returncode, there.stdout) == (1, here.stdout)
    assert here.stdout.count("\n") == 3


def test_missing_dask_is_one_line(photos: Path, tmp_path: Path) -> None:
    """It says which pip install brings it."""
    script = f"""
import sys
sys.modules["distributed"] = None
from degrade.cli import main
main({["build", str(photos), str(tmp_path / "pairs"), *OPTIONS, "--scheduler", "local"]!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    expected = "Error: --scheduler needs Dask: pip install 'old-pictures-restoration[cluster]'\n"
    assert done.stderr == expected


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nobody", "nobody: neither an address such as tcp://HOST:8786, nor a scheduler file"),
        ("foo://127.0.0.1:1", "neither an address"),
        pytest.param("tcp://127.0.0.1:1", "no scheduler answers", marks=pytest.mark.slow),
        ("local:0", "neither an address"),
    ],
)
def test_scheduler_that_is_none_is_one_line(
    photos: Path, tmp_path: Path, address: str, words: str
) -> None:
    """And the status is 1."""
    done = run_degrade("build", photos, tmp_path / "pairs", *OPTIONS, "--scheduler", address)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_workers_and_scheduler_exclude_each_other(photos: Path, tmp_path: Path) -> None:
    """Status 2: a cluster has workers of its own."""
    options = ("--workers", 2, "--scheduler", "local")
    done = run_degrade("build", photos, tmp_path / "pairs", *OPTIONS, *options)
    assert done.returncode == 2
    assert not (tmp_path / "pairs").exists()


def test_shard_names_are_those_of_the_store(undisturbed: Path) -> None:
    """The shard that the poison test names is the one that holds its photograph."""
    info = json.loads((undisturbed / "train-00004.lmdb" / SHARD_INFO_NAME).read_text())["info"]
    assert info["first_key"] <= "0047.jpg" <= info["last_key"]
