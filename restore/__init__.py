"""Restore old photographs.

    from restore import Restorer, RestoreSettings

    restorer = Restorer.load()
    restored, marks = restorer.restore(photo, RestoreSettings(strength=0.8))

Names are imported when they are first used, so that `import restore` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore.errors import ModelError, PhotoError, RestoreError
    from restore.restorer import Restoration, Restorer
    from restore.settings import RestoreSettings

__all__ = [
    "ModelError",
    "PhotoError",
    "Restoration",
    "RestoreError",
    "RestoreSettings",
    "Restorer",
]

_HOMES = {
    "ModelError": "restore.errors",
    "PhotoError": "restore.errors",
    "RestoreError": "restore.errors",
    "Restoration": "restore.restorer",
    "RestoreSettings": "restore.settings",
    "Restorer": "restore.restorer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
