"""Settings that must hold before torch is imported, here and in subprocesses."""

import os
import sys
from pathlib import Path

# Tests run side by side; threads of several processes on the same cores slow each other manyfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

# The benchmarks aren't installed. Last, so that what is installed is what is tested.
sys.path.append(str(Path(__file__).resolve().parent.parent))
