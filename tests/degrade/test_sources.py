import os
import pickle
from pathlib import Path

import pytest
from store_photos import encode, fill_folder, make_lsun, paint_photo

from degrade.build.sources import LsunSource, open_source
from degrade.errors import SourceError


def test_folder_lists_recursively_in_posix_order(tmp_path: Path) -> None:
    """Order is that of the relative paths' bytes; other files and hidden ones are left out."""
    for name in ("b/z.JPG", "b.jpg", "a/ü ñ.png", "a/notes.txt", ".cache/x.jpg", "a/._y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list(open_source(tmp_path).list_keys()) == ["a/ü ñ.png", "b.jpg", "b/z.JPG"]


def test_folder_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    """A link to a folder elsewhere is entered, one to a folder above is not."""
    elsewhere = fill_folder(tmp_path / "elsewhere", 1)
    inside = fill_folder(tmp_path / "photos" / "inside", 1)
    (tmp_path / "photos" / "linked").symlink_to(elsewhere)
    (inside / "up").symlink_to(tmp_path / "photos")
    keys = list(open_source(tmp_path / "photos").list_keys())
    assert keys == ["inside/0000.jpg", "linked/0000.jpg"]


def test_folder_lists_what_it_may_not_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose kind can't be told is found out, and rejected, when it is read."""
    fill_folder(tmp_path / "photos", 2)
    look = os.stat

    def refuse(path: object, **options: object) -> os.stat_result:
        if str(path).endswith("0001.jpg"):
            raise PermissionError(13, "Permission denied", path)
        return look(path, **options)  # type: ignore[arg-type, no-any-return, call-overload]

    monkeypatch.setattr(os, "stat", refuse)
    assert list(open_source(tmp_path / "photos").list_keys()) == ["0000.jpg", "0001.jpg"]


@pytest.mark.parametrize("name", ["person_train", "file.lmdb", "photos.jpg", "x.zip"])
def test_lmdb_is_told_by_content_whatever_its_name(tmp_path: Path, name: str) -> None:
    """A file of any suffix or none; another file is neither of the two."""
    folder = make_lsun(tmp_path / "lsun", {"a": b"x", "b": b"y"})
    os.rename(folder / "data.mdb", tmp_path / name)
    source = open_source(tmp_path / name)
    assert (source.kind, list(source.list_keys())) == ("lsun", ["a", "b"])
    source.close()
    (tmp_path / name).write_bytes(b"no such thing")
    with pytest.raises(SourceError, match="neither a folder nor an LMDB file"):
        open_source(tmp_path / name)


def test_list_names_photographs_whose_names_are_not_utf8(tmp_path: Path) -> None:
    """The list is bytes as the names are; text in other codings is refused."""
    source = open_source(make_lsun(tmp_path / "lsun", {"aa": b"1"}))
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"aa\n\xff\n")
    with pytest.raises(SourceError, match=r"\\xff: listed, but no key of"):
        list(open_source(source.path, listed).list_keys())
    listed.write_text("aa\n", "utf-16")
    with pytest.raises(SourceError, match="not UTF-8 text"):
        open_source(source.path, listed)
    source.close()


def test_folder_without_photographs_is_an_error(tmp_path: Path) -> None:
    """The message says what was looked for."""
    with pytest.raises(SourceError, match=r"holds no photographs .*\.jpg"):
        open_source(tmp_path).list_keys()


def test_list_chooses_photographs_of_a_folder(tmp_path: Path) -> None:
    """Only those listed, once each, in key order; relative or absolute paths."""
    folder = fill_folder(tmp_path / "photos", 4)
    listed = tmp_path / "list.txt"
    listed.write_text(f"0003.jpg\r\n\n{folder}/0001.jpg\n0003.jpg\n", newline="")
    assert list(open_source(folder, listed).list_keys()) == ["0001.jpg", "0003.jpg"]


@pytest.mark.parametrize("name", ["missing.jpg", "../outside.jpg"])
def test_list_refuses_what_is_not_in_the_source(tmp_path: Path, name: str) -> None:
    """A name that is missing or lies outside is an error that quotes it."""
    folder = fill_folder(tmp_path / "photos", 1)
    (tmp_path / "outside.jpg").write_bytes(b"x")
    listed = tmp_path / "list.txt"
    listed.write_text(name)
    with pytest.raises(SourceError, match=name):
        open_source(folder, listed).list_keys()


def test_list_chooses_keys_of_an_lmdb(tmp_path: Path) -> None:
    """Keys are chosen as files are."""
    source = make_lsun(tmp_path / "lsun", {"aa": b"1", "bb": b"2", "cc": b"3"})
    listed = tmp_path / "list.txt"
    listed.write_text("cc\naa\n")
    assert list(open_source(source, listed).list_keys()) == ["aa", "cc"]
    listed.write_text("dd\n")
    with pytest.raises(SourceError, match="dd"):
        list(open_source(source, listed).list_keys())


def test_lsun_lists_and_reads_by_folder_or_file(tmp_path: Path) -> None:
    """The folder and the data.mdb in it are the same source."""
    data = encode(paint_photo(1), ".webp")
    folder = make_lsun(tmp_path / "lsun", {"b0": data, "a0": b"x"})
    for path in (folder, folder / "data.mdb"):
        source = open_source(path)
        assert isinstance(source, LsunSource)
        assert list(source.list_keys()) == ["a0", "b0"]
        assert source.read("b0") == data
        source.close()


def test_lsun_can_be_pickled_while_open(tmp_path: Path) -> None:
    """A worker gets a copy that opens for itself."""
    source = open_source(make_lsun(tmp_path / "lsun", {"a": b"x"}))
    assert source.read("a") == b"x"
    copy = pickle.loads(pickle.dumps(source))
    source.close()
    assert copy.read("a") == b"x"
    copy.close()


def test_lsun_cut_off_is_found_before_it_is_read(tmp_path: Path) -> None:
    """Reading it would end the process."""
    folder = make_lsun(tmp_path / "lsun", {f"{i:04d}": bytes(5000) for i in range(50)})
    os.truncate(folder / "data.mdb", 40_000)
    with pytest.raises(SourceError, match="cut off"):
        open_source(folder)


def test_glimpses_of_equal_photographs_are_equal(tmp_path: Path) -> None:
    """And differ where length or middle differ; empty ones have none."""
    (tmp_path / "a.jpg").write_bytes(b"x" * 1000)
    (tmp_path / "b.jpg").write_bytes(b"x" * 1000)
    (tmp_path / "c.jpg").write_bytes(b"x" * 999)
    (tmp_path / "d.jpg").write_bytes(b"x" * 500 + b"y" + b"x" * 499)
    (tmp_path / "e.jpg").write_bytes(b"")
    source = open_source(tmp_path)
    a, b, c, d, e = (source.glimpse(key) for key in source.list_keys())
    assert a == b
    assert len({a, c, d}) == 3
    assert e == bytes(8)
