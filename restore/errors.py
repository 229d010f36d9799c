"""What `restore` raises: one line each, naming the file and the remedy."""


class RestoreError(Exception):
    """Base of every error that `restore` raises on purpose; its message is one line."""


class ModelError(RestoreError):
    """A file of weights is missing, damaged, or not one of ours."""


class PhotoError(RestoreError):
    """A photograph can't be read, or the restored one can't be written."""


class OutputError(PhotoError):
    """The place for a result can't take it: full, read-only, not there; the photograph is well."""
