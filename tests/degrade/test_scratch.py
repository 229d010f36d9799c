"""Building in a local folder, and whatever else keeps several machines from harming a build."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from store_photos import build_small, encode, fill_folder, make_lsun, paint_photo, read_all

from degrade.build import renderer
from degrade.build.cluster import RenderWork
from degrade.build.renderer import ShardRenderer
from degrade.build.sources import open_source
from degrade.build.work import SETTINGS_NAME
from degrade.errors import ScratchError, StoreError
from degrade.store.scratch import open_scratch
from degrade.store.whole import whole_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of twelve photographs."""
    return fill_folder(tmp_path / "photos", 12)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_scratch_changes_no_byte_and_is_left_empty(
    photos: Path, tmp_path: Path, num_workers: int
) -> None:
    """With processes as on a cluster."""
    scratch = tmp_path / "new" / "scratch"
    options = {"shard_size": 3, "num_workers": num_workers}
    build_small(photos, tmp_path / "here", **options)
    build_small(photos, tmp_path / "pairs", scratch=scratch, **options)
    assert read_all(tmp_path / "pairs") == read_all(tmp_path / "here")
    names = [sorted(os.listdir(tmp_path / name)) for name in ("here", "pairs")]
    assert names[0] == names[1]
    assert not list(scratch.iterdir())


def test_scratch_sweeps_what_dead_processes_left(tmp_path: Path) -> None:
    """And nothing of processes that are alive."""
    script = f"""
import os, signal
from pathlib import Path
from degrade.store.scratch import open_scratch
with open_scratch(Path({str(tmp_path)!r})) as own:
    (own / "half").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    (dead,) = tmp_path.glob(".*.tmp")
    with open_scratch(tmp_path) as first, open_scratch(tmp_path) as second:
        assert not dead.exists()
        assert first.is_dir()
        assert second.is_dir()
    assert not list(tmp_path.iterdir())


def test_scratch_that_cannot_be_written_is_blamed(photos: Path, tmp_path: Path) -> None:
    """Not the build's folder."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ScratchError, match=r"file/scratch: cannot be written"):
        build_small(photos, tmp_path / "pairs", scratch=tmp_path / "file" / "scratch")


def test_scratch_that_reads_otherwise_is_not_published(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard is read once more before it is moved."""
    monkeypatch.setattr(renderer, "digest_shard", lambda _path: "other")
    with pytest.raises(ScratchError, match="reads otherwise than it was written"):
        build_small(photos, tmp_path / "pairs", scratch=tmp_path / "scratch")
    assert not list((tmp_path / "pairs").glob("*.lmdb"))
    assert not list((tmp_path / "scratch").iterdir())


def test_shard_of_a_build_that_was_begun_anew_is_not_published(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that slept through --force with another seed does no harm when it wakes up."""
    out = tmp_path / "pairs"
    begun = out / ".building" / SETTINGS_NAME
    render = ShardRenderer._render_into

    def sleep_then_render(self, aside, shard):  # type: ignore[no-untyped-def]
        begun.write_bytes(begun.read_bytes().replace(b'"seed": 7', b'"seed": 8'))
        return (yield from render(self, aside, shard))

    monkeypatch.setattr(ShardRenderer, "_render_into", sleep_then_render)
    with pytest.raises(StoreError, match="its build was finished or given up meanwhile"):
        build_small(photos, out)
    assert not list(out.glob("*.lmdb"))


def test_shard_that_another_was_quicker_to_publish_stays(tmp_path: Path) -> None:
    """Both have rendered the same bytes: the second goes without an error."""
    with whole_folder(tmp_path / "shard") as aside:
        (aside / "mine").write_bytes(b"1")
        exists = Path.exists

        def exists_once(self: Path) -> bool:
            Path.exists = exists  # type: ignore[method-assign]
            (tmp_path / "shard").mkdir()
            (tmp_path / "shard" / "theirs").write_bytes(b"2")
            return False

        Path.exists = exists_once  # type: ignore[method-assign,assignment]
    assert os.listdir(tmp_path / "shard") == ["theirs"]
    assert os.listdir(tmp_path) == ["shard"]


def test_lmdb_can_be_read_by_two_builds_in_one_process(tmp_path: Path) -> None:
    """LMDB opens a file once in a process; the last who lets go closes it."""
    path = make_lsun(tmp_path / "lsun", {"a": encode(paint_photo(1))})
    one, two = open_source(path), open_source(path / "data.mdb")
    assert one.read("a") == two.read("a")
    one.close()
    assert two.read("a") == one.read("a")
    one.close()
    two.close()
    assert open_source(path).read("a") == encode(paint_photo(1))


def test_lock_that_the_file_system_does_not_know_is_blamed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than another build that doesn't exist."""

    def refuse(_handle: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=r"lock: cannot be locked: No locks available"):
        build_small(photos, tmp_path / "pairs")


def _make_work(photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> RenderWork:
    """The work of a build that was interrupted before its first shard."""
    jobs = []

    def stop(job, *_others):  # type: ignore[no-untyped-def]
        jobs.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr("degrade.build.run.render_shards", stop)
    with pytest.raises(KeyboardInterrupt):
        build_small(photos, out)
    return RenderWork(jobs[0], "no such probe")


def test_worker_that_does_not_see_the_build_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder or its photographs, on a file system that isn't shared."""
    work = _make_work(photos, tmp_path / "pairs", monkeypatch)
    with pytest.raises(StoreError, match="it renders other bytes"):
        _open(work)
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"it doesn't see .*photos"):
        _open(work)
    (tmp_path / "pairs").rename(tmp_path / "moved")
    with pytest.raises(StoreError, match=r"it doesn't see the build in .*pairs"):
        _open(work)


def _open(work: RenderWork) -> None:
    """Open a piece of work, as a worker does, and leave this process's settings as they are."""
    import cv2

    before = cv2.getNumThreads()
    try:
        work.open()
    finally:
        cv2.setNumThreads(before)
