import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_photos import build_small, fill_folder, read_all, run_degrade

from degrade.build import renderer
from degrade.build.options import BuildOptions
from degrade.build.plan import ShardPlan
from degrade.build.run import build_pairs
from degrade.errors import SourceError, StoreError
from degrade.progress import Step
from degrade.store.manifest import Manifest

OPTIONS = ("--seed", "7", "--size", "48", "--shard-size", "10")
NUM_PHOTOS = 120


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough photographs for a build of a second or two."""
    return fill_folder(tmp_path_factory.mktemp("survival") / "photos", NUM_PHOTOS)


@pytest.fixture(scope="module")
def undisturbed(photos: Path) -> Path:
    """The build that all others must equal."""
    build_small(photos, photos.parent / "undisturbed", shard_size=10)
    return photos.parent / "undisturbed"


def _start(photos: Path, out: Path, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "degrade", "build", photos, out, *OPTIONS, *options]
    # A shell's background jobs ignore Ctrl-C, and their children would, too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _wait_for_shards(process: subprocess.Popen[str], out: Path, num_shards: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.lmdb"))) < num_shards and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _interrupt(
    photos: Path, out: Path, number: int, num_shards: int, *options: object
) -> tuple[int, str]:
    """Signal a build once some shards are whole; return its exit status and what it said.

    On a busy machine the build may be over before this process sees the shards: then once more.
    """
    for _ in range(10):
        process = _start(photos, out, *options)
        _wait_for_shards(process, out, num_shards)
        if process.poll() is None:
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        if process.returncode != 0:
            return process.returncode, errors
        shutil.rmtree(out)
    raise AssertionError("the builds were always over before they could be interrupted")


def _is_equal(out: Path, undisturbed: Path) -> bool:
    return (
        read_all(out) == read_all(undisturbed)
        and (out / "manifest.json").read_bytes() == (undisturbed / "manifest.json").read_bytes()
        and sorted(os.listdir(out)) == sorted(os.listdir(undisturbed))
    )


def test_killed_builds_are_finished_to_the_same_bytes(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Kill -9 after one shard of twelve and, with workers, after four; then once more."""
    out = tmp_path / "pairs"
    for num_shards, num_workers in ((1, 1), (4, 2)):
        _interrupt(photos, out, signal.SIGKILL, num_shards, "--workers", num_workers)
        assert not (out / "manifest.json").exists()
    done = run_degrade("build", photos, out, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert _is_equal(out, undisturbed)


def test_workers_die_with_their_parent(photos: Path, tmp_path: Path) -> None:
    """None goes on writing after kill -9."""
    out = tmp_path / "pairs"
    _interrupt(photos, out, signal.SIGKILL, 1, "--workers", 2)
    time.sleep(0.5)
    before = sorted(out.rglob("*"))
    time.sleep(0.5)
    assert sorted(out.rglob("*")) == before
    assert len(list(out.glob("*.lmdb"))) < 12


_INTERRUPTED_START = """
import os, signal, subprocess, sys
from degrade.signals import hold_interrupt

signal.signal(signal.SIGINT, signal.default_int_handler)
worker = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
try:
    with hold_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        print(subprocess.check_output([sys.executable, "-c", worker], text=True).strip())
except KeyboardInterrupt:
    print("interrupted")
"""


def test_workers_hear_nothing_of_ctrl_c_from_their_first_moment() -> None:
    """Processes started meanwhile have it blocked; the parent gets it afterwards."""
    lines = subprocess.check_output([sys.executable, "-c", _INTERRUPTED_START], text=True)
    assert lines.split() == ["True", "interrupted"]


@pytest.mark.parametrize(("number", "num_workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_interrupted_builds_end_cleanly_and_go_on(
    photos: Path, undisturbed: Path, tmp_path: Path, number: int, num_workers: int
) -> None:
    """Ctrl-C reaches the whole group: one line, status 130, no temporary folders."""
    out = tmp_path / "pairs"
    status, errors = _interrupt(photos, out, number, 1, "--workers", num_workers)
    assert status == 130
    assert errors == "Stopped; the same command goes on from here.\n"
    assert not list(out.glob(".*.tmp"))
    assert run_degrade("build", photos, out, *OPTIONS).returncode == 0
    assert _is_equal(out, undisturbed)


def test_stale_temporary_folders_are_swept(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    """What a killed build left under another name goes when the next one starts."""
    out = tmp_path / "pairs"
    _interrupt(photos, out, signal.SIGKILL, 1)
    (out / ".train-00002.lmdb.1.tmp").mkdir()
    (out / ".train-00002.lmdb.1.tmp" / "data.mdb").write_bytes(b"half")
    build_small(photos, out, shard_size=10)
    assert _is_equal(out, undisturbed)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_full_disk_is_one_line_and_loses_nothing(
    photos: Path, undisturbed: Path, tmp_path: Path, num_workers: int
) -> None:
    """A limit on the size of files stands in for the disk; with room the build is finished."""
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    out = tmp_path / "pairs"
    arguments = ("build", photos, out, *OPTIONS, "--workers", num_workers)
    full = run_degrade(*arguments, preexec_fn=limit)
    assert full.returncode == 1
    assert full.stderr.startswith("Error: ")
    assert "cannot be written" in full.stderr
    assert full.stderr.count("\n") == 1
    assert not (out / "manifest.json").exists()
    assert not list(out.glob(".*.tmp"))
    assert run_degrade(*arguments).returncode == 0
    assert _is_equal(out, undisturbed)


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A source of its own and a build of it that stopped after two shards of four."""
    source, out = fill_folder(tmp_path / "photos", 20), tmp_path / "pairs"
    render = renderer.ShardRenderer.render

    def render_twice(self: renderer.ShardRenderer, shard: ShardPlan) -> Iterator[str]:
        if len(list(out.glob("*.lmdb"))) == 2:
            raise KeyboardInterrupt
        yield from render(self, shard)

    with monkeypatch.context() as patch:
        patch.setattr(renderer.ShardRenderer, "render", render_twice)
        with pytest.raises(KeyboardInterrupt):
            _resume(source, out)
    assert len(list(out.glob("*.lmdb"))) == 2
    return source, out


def _resume(source: Path, out: Path, **options: object) -> Manifest:
    return build_small(source, out, **{"shard_size": 5, "val_frac": 0.0, **options})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"seed": 8}, "seed 7 instead of 8"),
        ({"size_px": 64}, "size_px 48 instead of 64"),
        ({"profile": "lightly-worn"}, "profile"),
        ({"variants": 2}, "variants 1 instead of 2"),
        ({"limit": 5}, "limit None instead of 5"),
        ({"shard_size": 6}, "shard_size 5 instead of 6"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    interrupted: tuple[Path, Path], other: dict[str, object], words: str
) -> None:
    """The message says which, and the build can still be finished."""
    source, out = interrupted
    with pytest.raises(StoreError, match=words):
        _resume(source, out, **other)
    assert _resume(source, out).num_train == 20


def test_resuming_after_the_source_changed_is_refused(interrupted: tuple[Path, Path]) -> None:
    """Photographs added, taken away or replaced; put back, the build can be finished."""
    source, out = interrupted
    added = fill_folder(source, 1, first=50) / "0050.jpg"
    with pytest.raises(SourceError, match=r"20 photographs then, 21 now"):
        _resume(source, out)
    added.unlink()
    content = (source / "0003.jpg").read_bytes()
    (source / "0003.jpg").write_bytes((source / "0004.jpg").read_bytes())
    with pytest.raises(SourceError, match="changed since this build began"):
        _resume(source, out)
    (source / "0003.jpg").write_bytes(content)
    assert _resume(source, out).num_train == 20


def test_resuming_by_force_starts_afresh(interrupted: tuple[Path, Path]) -> None:
    """With other settings, none of the old shards remain."""
    source, out = interrupted
    manifest = _resume(source, out, seed=8, force=True)
    assert manifest.seed == 8
    fresh = _resume(source, out.parent / "fresh", seed=8)
    assert manifest.digest == fresh.digest


def test_unfinished_build_cannot_be_read(interrupted: tuple[Path, Path]) -> None:
    """The reader says what to do."""
    from degrade import PairReader

    with pytest.raises(StoreError, match="isn't finished"):
        PairReader(interrupted[1])


def _hold(photos: Path, out: Path) -> subprocess.Popen[str]:
    """A build that is stopped, and holds its lock, while some of its shards are whole.

    On a busy machine the build may be over before it is stopped: then once more.
    """
    for _ in range(10):
        process = _start(photos, out)
        _wait_for_shards(process, out, 1)
        process.send_signal(signal.SIGSTOP)
        if process.poll() is None and not (out / "manifest.json").exists():
            return process
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
        shutil.rmtree(out)
    raise AssertionError("the builds were always over before they could be stopped")


def test_second_build_into_the_same_folder_is_refused(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """While one holds the lock, another is refused by it, even by force; the first goes on."""
    out = tmp_path / "pairs"
    process = _hold(photos, out)
    try:
        before = read_all(out)
        for options in ((), ("--force",)):
            second = run_degrade("build", photos, out, *OPTIONS, *options)
            assert second.returncode == 1
            assert "another build is writing here" in second.stderr
        assert read_all(out) == before
    finally:
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.parametrize("num_workers", [1, 2])
def test_build_stopped_by_who_follows_it_leaves_no_half_shard(
    photos: Path, undisturbed: Path, tmp_path: Path, num_workers: int
) -> None:
    """When progress raises, the shard under way is gone at once; the same build then goes on."""
    out = tmp_path / "pairs"

    def stop(step: Step) -> None:
        if step.num_done > 5:
            raise KeyboardInterrupt

    options = BuildOptions(
        source=photos, out=out, seed=7, size_px=48, shard_size=10, num_workers=num_workers
    )
    with pytest.raises(KeyboardInterrupt):
        build_pairs(options, stop)
    assert not list(out.glob(".*.tmp"))
    assert not (out / "manifest.json").exists()
    build_pairs(options)
    assert _is_equal(out, undisturbed)
