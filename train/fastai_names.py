"""The names that we use of fastai, imported in one place.

When it is imported, fastai 2.8 compiles two functions with `torch.jit.script` and sets an option of
pandas, which newer versions of these warn of; the filters are as narrow as that.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", DeprecationWarning)
    warnings.filterwarnings("ignore", r"The 'mode\.chained_assignment' option", DeprecationWarning)
    from fastai.callback.core import (
        Callback,
        CancelBatchException,
        CancelFitException,
        CancelStepException,
        CancelTrainException,
        CancelValidException,
        TrainEvalCallback,
    )
    from fastai.callback.schedule import ParamScheduler, combined_cos, valley
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner, Recorder
    from fastai.optimizer import OptimWrapper

__all__ = [
    "Callback",
    "CancelBatchException",
    "CancelFitException",
    "CancelStepException",
    "CancelTrainException",
    "CancelValidException",
    "DataLoader",
    "DataLoaders",
    "Learner",
    "OptimWrapper",
    "ParamScheduler",
    "Recorder",
    "TrainEvalCallback",
    "combined_cos",
    "valley",
]
