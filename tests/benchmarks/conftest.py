"""The benchmarks are a package beside the tests, run from the root and not installed."""

from helpers.threads import one_thread  # noqa: F401 - as the suite measures
