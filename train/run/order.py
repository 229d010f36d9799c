"""In which order the callbacks of an event are called: all of ours, in one table.

fastai calls the callbacks of each event by rising `order`, and those of equal order as they happen
to stand in its list. So each of ours has an order of its own. Which of them depend on each other,
and why, is written in tests/train/test_order.py.

fastai's own are TrainEvalCallback (-10), Recorder (50), and ParamScheduler and LRFinder (60).
"""

from enum import IntEnum


class Order(IntEnum):
    """The order of each callback; the lowest is called first."""

    NAME_BATCH = -9
    GIVING = -8
    PACE = -5
    AUTOCAST = -4
    REDUCTION = 0
    GUARD = 1
    AVERAGE = 5
    CONSISTENCY = 8
    CRITIC_TRAINING = 10
    PROJECTED_TRAINING = 11
    SKIP_VALIDATION = 50
    STEP_LOG = 70
    PROGRESS = 75
    SAVER = 80
    STOPPER = 100
