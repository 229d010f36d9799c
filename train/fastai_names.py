"""The names that we use of fastai, imported in one place.

fastai 2.8 compiles two functions with `torch.jit.script` when it is imported, which newer versions
of torch warn of; the filter is as narrow as that.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", DeprecationWarning)
    from fastai.callback.core import (
        Callback,
        CancelBatchException,
        CancelFitException,
        CancelStepException,
        CancelTrainException,
        CancelValidException,
        TrainEvalCallback,
    )
    from fastai.callback.schedule import ParamScheduler, combined_cos
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
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
    "TrainEvalCallback",
    "combined_cos",
]
