"""The promise: the same bytes everywhere on x86-64 Linux, whatever the processor can do."""

import json
import os
import platform
import subprocess
import sys

import pytest
from golden import GOLDEN, golden_digests

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() != "Linux",
    reason="byte-identity is promised on x86-64 Linux",
)


def test_recipes_and_pixels_are_the_golden_ones():
    """Every profile gives the recipes and pixels of tests/golden.json."""
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
