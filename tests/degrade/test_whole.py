"""Files and folders are there as a whole or not at all; locks keep others out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from degrade.errors import StoreError
from degrade.store.lock import hold_lock
from degrade.store.whole import whole_folder, write_whole


def test_file_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    """The old content stays, and nothing lies beside it."""
    path = tmp_path / "a.json"
    write_whole(path, [b"old"])

    def fail() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        write_whole(path, fail())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """Neither under its name nor under another."""

    def fail() -> None:
        with whole_folder(tmp_path / "out") as folder:
            (folder / "file").write_bytes(b"x")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("replace", [False, True])
def test_folder_takes_the_place_of_another_only_when_asked_to(
    tmp_path: Path, replace: bool
) -> None:
    """Otherwise what is there stays."""
    out = tmp_path / "out"
    for content in ("old", "new"):
        with whole_folder(out, replace=replace) as folder:
            (folder / content).touch()
    assert [path.name for path in out.iterdir()] == ["new" if replace else "old"]
    assert list(tmp_path.iterdir()) == [out]


def test_lock_is_held_by_one(tmp_path: Path) -> None:
    """A second holder is told; afterwards it is free again."""
    with hold_lock(tmp_path / "lock") as first, hold_lock(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with hold_lock(tmp_path / "lock") as again:
        assert again
