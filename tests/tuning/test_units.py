"""A tuning says the same in whatever unit the log has its rewards and its time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import known
from prudent import ope, tune
from prudent.tuning import plan

SMALL = {
    "alpha": [0.1, 10.0],
    "seeds": [0],
    "steps": 40,
    "checkpoints": 2,
    "rank_steps": 30,
    "final_steps": 30,
    "resamples": 2,
    "hidden": (8,),
    "batch_size": 32,
    "critic_lr": 1e-2,
    "reward_scale": "auto",
}
QUICK = {"members": 2, "hidden": (8,), "batch_size": 32, "behaviour_steps": 10}


@pytest.fixture(scope="module")
def patched():
    """No reports, fast estimates."""

    def settings(self, final):
        return ope.Settings(**QUICK, steps=self.final_steps, n_bootstrap=self.resamples if final else 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan.Settings, "ranking", property(lambda self: settings(self, False)))
        patch.setattr(plan.Settings, "final", property(lambda self: settings(self, True)))
        patch.setattr("prudent.report.write_report", lambda folder, _=None: Path(folder) / "report.html")
        patch.setattr("prudent.coverage.support.write", lambda *_: None)
        yield patch


@pytest.fixture(scope="module")
def tuned(patched, tmp_path_factory):  # noqa: ARG001 - patches
    """The result with rewards and time in these units; each is tuned once."""
    log, results = known.tabular(1).log(30, 0), {}
    hours = np.random.default_rng(0).integers(32, 97, size=len(log)) / 64

    def get(reward_unit=1.0, time_unit=1.0):
        if (reward_unit, time_unit) not in results:
            extra = {**log.extra, "dt": (hours * time_unit).astype(np.float32)}
            data = replace(log, reward=log.reward * np.float32(reward_unit), extra=extra)
            folder = tmp_path_factory.mktemp("tuned") / "log"
            results[reward_unit, time_unit] = tune(data, folder, **SMALL, discount=0.9 ** (1 / time_unit))
        return results[reward_unit, time_unit]

    return get


def figures(result, unit=1.0) -> dict[str, float | None]:
    """All values and bounds of the ranking and of the final comparison, per unit of reward."""
    found = {}
    for candidate in result.first.candidates:
        found |= {f"{candidate.name} value": candidate.value, f"{candidate.name} bound": candidate.lower_bound}
    for name, pair in result.first.final["differences"].items():
        low, high = pair["ci95"] or (None, None)
        found |= {name: pair["value"], f"{name} low": low, f"{name} high": high}
    return {name: None if x is None else x / unit for name, x in found.items()}


def choice(result):
    return (
        result.verdict,
        result.alpha,
        [(c.name, c.rank, c.step) for c in result.first.candidates],
    )


def test_rewards_in_a_unit_of_1024_give_the_same_verdict_to_the_bit(tuned):
    one, other = tuned(), tuned(1024.0)
    assert choice(other) == choice(one)
    assert figures(other, 1024.0) == figures(one)
    assert sum(x is not None for x in figures(one).values()) > 10


@pytest.mark.parametrize(("reward_unit", "time_unit"), [(1000.0, 1.0), (0.01, 1.0), (1e-9, 1.0), (1.0, 60.0)])
def test_other_units_give_the_same_verdict(tuned, reward_unit, time_unit):
    one, other = tuned(), tuned(reward_unit, time_unit)
    assert choice(other) == choice(one)
    expected, found = figures(one), figures(other, reward_unit)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, rel=1e-3, abs=1e-3)), name
