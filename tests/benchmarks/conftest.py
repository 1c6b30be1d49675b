"""The benchmarks are a package beside the tests, run from the root and not installed."""

import sys
from pathlib import Path

from helpers.threads import one_thread  # noqa: F401 - as the suite measures

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
