"""What holds for every test: one thread, no screen, and no lines that depend on how busy the machine is."""

import os

import pytest

# Before anything imports them. On tiny tensors a second OpenMP thread costs more than it gives, many times more where
# other programs use the cores; subprocesses of the tests inherit the setting.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# JAX (behind Minari's collector) is to keep to the CPU and to its own business.
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """No wait is long enough to be shown, however busy the machine is; tests of waits set their own patience."""
    from prudent import progress

    monkeypatch.setattr(progress, "PATIENCE", 1e6)


@pytest.fixture(autouse=True)
def no_algorithm_of_another_test():
    """Algorithms that a test gave are gone for the next one."""
    import sys

    yield
    if (registry := sys.modules.get("prudent.algorithms.own.registry")) is not None:
        for name in registry.given_names():
            registry.forget(name)
            if (agents := sys.modules.get("prudent.agents")) is not None:
                agents.AGENTS.pop(name, None)
