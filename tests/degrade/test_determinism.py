"""The promise: the same bytes everywhere on x86-64 Linux, whatever the processor can do."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from golden import GOLDEN, golden_digests

from degrade.damage.streams import Draws
from degrade.textures.pack import turn

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() != "Linux",
    reason="byte-identity is promised on x86-64 Linux",
)


def test_recipes_and_pixels_are_the_golden_ones():
    """Every profile gives the recipes and pixels of tests/degrade/golden.json."""
    assert golden_digests() == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENCV_IPP": "disabled", "OPENCV_CPU_DISABLE": "AVX512_SKX,AVX2,FMA3,AVX,FP16"},
        {"NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3"},
    ],
    ids=["opencv-without-vectors", "numpy-without-vectors"],
)
def test_pixels_do_not_depend_on_the_processor(environment):
    """With the vector units switched off the pixels are the same."""
    script = GOLDEN.with_name("golden.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "--print"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == json.loads(GOLDEN.read_text())


def test_draws_equal_a_new_generator_of_their_key_and_stage() -> None:
    """Streams share one generator, but interleaved they give what Philox defines for each."""
    key = (123456789012345678, 987654321)
    streams = [Draws(key, stage) for stage in range(3)]
    drawn = np.array([[stream.unit() for stream in streams] for _ in range(70)])
    for stage in range(3):
        bits = np.random.Philox(key=np.array(key, np.uint64), counter=[0, 0, 0, stage])
        assert (drawn[:, stage] == np.random.Generator(bits).random(70)).all()


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_turn_equals_numpy(turns: int, flip: bool) -> None:
    """A texture turned by quarters and mirrored is what NumPy's views are."""
    mask = np.arange(35, dtype=np.uint8).reshape(5, 7)
    expected = np.rot90(mask, turns)
    assert (turn(mask, turns, flip) == (expected[:, ::-1] if flip else expected)).all()
