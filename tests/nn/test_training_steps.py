"""A whole step of every algorithm through the fast passes against the same step through the plain ones."""

import pytest
import torch

from helpers.cases import Case
from prudent import algorithms
from prudent.engine.population import training_step
from prudent.nn import cpu
from prudent.types import flatten

VARIANTS = {name: (name, {}) for name in algorithms.names()} | {
    "cql, sampled gradient": ("cql", {"gradient": "sampled", "gradient_samples": 2}),
    "cql, layer normalisation": ("cql", {"layer_norm": True}),
    "cql, soft backup, lagrange": ("cql", {"backup": "soft", "lagrange": True}),
    "discrete_cql, quantiles": ("discrete_cql", {"n_quantiles": 4, "max_grad_norm": 1.0}),
}


def after_two_steps(monkeypatch, worth_it: int, algorithm: str, options: dict) -> dict[str, torch.Tensor]:
    """Networks, moments and metrics; what the passes do not fill is NaN."""
    monkeypatch.setattr(cpu, "WORTH_IT", worth_it)
    monkeypatch.setattr(torch, "empty_like", lambda t: torch.full_like(t, torch.nan))
    case = Case(algorithm, rows=5, **options)
    for _ in range(2):
        metrics = training_step(case.algorithm, case.state, case.batch, case.noise, case.hyper)
        case.state.step += 1
    return flatten({"networks": case.state.networks, "optimizers": case.state.optimizers, "metrics": metrics})


@pytest.mark.parametrize(("algorithm", "options"), VARIANTS.values(), ids=VARIANTS)
def test_a_step_is_the_same(monkeypatch, algorithm, options):
    fast = after_two_steps(monkeypatch, 0, algorithm, options)
    plain = after_two_steps(monkeypatch, 10**18, algorithm, options)
    assert fast.keys() == plain.keys()
    for name, expected in plain.items():
        difference = (fast[name] - expected).abs().max()
        assert difference <= 1e-9 * max(1.0, float(expected.abs().max())), f"{name} differs by {difference:.2g}"
