"""Which page of a TIFF file is the photograph: scanners put small copies beside it, or before."""

from __future__ import annotations

from dataclasses import dataclass

from restore.scan.metadata.tiff import Page

# A page this many times as large as another of the same shape is what that is a copy of.
_COPY_SCALE = 2.0
_COPY_SHAPE_FRAC = 0.03


@dataclass(frozen=True)
class Choice:
    """The page to restore.

    Attributes:
        index: In the main chain, from 0.
        sub_index: Among the pages that one points to; None for itself.
        page: How it is stored; None where nobody knows.
        notice: What to say of the others; empty if nothing.
    """

    index: int
    sub_index: int | None = None
    page: Page | None = None
    notice: str = ""


def choose_page(pages: list[Page], wanted: int | None) -> Choice:
    """Choose the page wanted, or the first that is no small copy.

    Args:
        pages: Of the file; at least one.
        wanted: From 1; may be one that isn't there.
    """
    if wanted is not None:
        index = wanted - 1
        return Choice(index, page=pages[index] if 0 <= index < len(pages) else None)
    index = _first_full(pages)
    page = pages[index]
    sub_index = _full_below(page)
    if sub_index is not None:
        notice = "its full resolution is restored; the small copy before it is left out"
        return Choice(index, sub_index, page.sub_pages[sub_index], notice)
    copies = [p for p in pages if p is not page and (p.is_reduced or _is_copy(p, page))]
    others = len(pages) - 1 - len(copies)
    notices = []
    if others:
        which = "the first" if index == 0 else f"page {index + 1}"
        notices.append(
            f"has {len(pages)} pages; only {which} is restored (--page and --pages take others)"
        )
    elif index:
        notices.append(f"page {index + 1} is restored, of which the first is a small copy")
    if copies and not (index and not others):
        notices.append("small copies of it are left out")
    return Choice(index, None, page, "; ".join(notices))


def _first_full(pages: list[Page]) -> int:
    first = pages[0]
    full = [i for i, page in enumerate(pages) if not page.is_reduced]
    if first.is_reduced and full:
        larger = [i for i in full if pages[i].width * pages[i].height > first.width * first.height]
        return larger[0] if larger else full[0]
    for i in full:
        if _is_copy(first, pages[i]):
            return i
    return 0


def _full_below(page: Page) -> int | None:
    """The largest page below one that says that it is a small copy, or is one of it."""
    below = [(sub.width * sub.height, i) for i, sub in enumerate(page.sub_pages)]
    if not below:
        return None
    _, index = max(below)
    sub = page.sub_pages[index]
    larger = sub.width > page.width and sub.height > page.height
    return index if larger and not sub.is_reduced else None


def _is_copy(small: Page, large: Page) -> bool:
    if 0 in (small.width, small.height, large.width, large.height):
        return False
    across, down = large.width / small.width, large.height / small.height
    same_shape = abs(across / down - 1) < _COPY_SHAPE_FRAC + 1 / min(small.width, small.height)
    return same_shape and min(across, down) >= _COPY_SCALE
