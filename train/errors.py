"""What `train` raises: one line each, saying what is wrong and what to do."""


class TrainError(Exception):
    """Base of every error that `train` raises on purpose; its message is one line."""


class ConfigError(TrainError):
    """A preset is unknown, or holds a wrong field or value."""


class DataError(TrainError):
    """The pairs can't be trained on: too few, too small, or broken."""


class RunError(TrainError):
    """A run's folder can't be written, or its state can't be read."""


class DivergenceError(TrainError):
    """Training went astray; the last good state is kept."""
