"""The errors of this package: each message is one line that names the file and the remedy."""


class DegradeError(Exception):
    """Anything that went wrong and that the user can mend."""


class UnreadablePhoto(DegradeError):
    """A photograph that cannot be decoded, or a broken sample of a pair store."""


class ProfileError(DegradeError):
    """A damage profile that is missing or holds a wrong field or range."""


class TextureError(DegradeError):
    """A texture pack that is missing, incomplete or altered."""


class SourceError(DegradeError):
    """A collection of clean photographs that cannot be read, or that has changed."""


class StoreError(DegradeError):
    """A pair store that is missing, broken, of another format, or cannot be written."""


class ScratchError(StoreError):
    """A machine's own folder for building is full or broken; another machine may do better."""


class ClusterError(DegradeError):
    """A Dask cluster that cannot be reached, has no workers left, or is missing altogether."""
