"""What cannot fit into memory is refused before it is made, with both figures."""

import pytest
import torch

from prudent import algorithms
from prudent.engine import memory
from prudent.engine.members import Member, grid, groups
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, is_out_of_memory
from prudent.types import Spec

CPU = torch.device("cpu")


def spec_of(algorithm):
    discrete = algorithms.is_discrete(algorithm)
    return Spec(3, 4, True) if discrete else Spec(3, 2, False, (-1.0, -1.0), (1.0, 1.0))


@pytest.mark.parametrize("name", algorithms.names())
def test_the_reckoned_size_is_that_of_the_networks(name):
    config = algorithms.get(name).Config(hidden=(8, 12))
    spec = spec_of(name)
    scaling = Scaling(torch.zeros(3), torch.ones(3), torch.zeros(2), torch.ones(2))
    tensors = Population(name, [Member("a", 0, config)], spec, scaling).tensors()
    stored = {key: t.numel() * t.element_size() for key, t in tensors.items() if not key.startswith("rng.")}
    gradients = sum(size for key, size in stored.items() if ".mean." in key)
    assert memory._network_bytes(algorithms.get(name), config, spec) == sum(stored.values()) + gradients


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("cql", {"hidden": (600_000, 600_000)}, "networks of 600000 x 600000"),
        ("cql", {"hidden": (10**30, 2)}, "networks of"),
        ("cql", {"n_critics": 10**9}, "fewer critics"),
        ("bc", {"hidden": (10**7, 10**7)}, "networks of"),
        ("discrete_cql", {"n_quantiles": 10**9}, "networks of"),
    ],
)
def test_networks_beyond_memory_are_refused(name, settings, words):
    config = algorithms.get(name).Config(**settings)
    with pytest.raises(ConfigError, match=r"take .* [GT]iB, .* of memory free") as caught:
        memory.check_networks(algorithms.get(name), [config], spec_of(name), CPU)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("cql", {"batch_size": 10**9}, "batches of 1000000000 rows"),
        ("cql", {"n_actions": 10**9}, "3000000000 proposals"),
        ("iql", {"batch_size": 10**40}, "batches of 1"),
        ("discrete_cql", {"n_quantiles": 10**6}, "1000000 quantiles"),
    ],
)
def test_batches_beyond_memory_are_refused(name, settings, words):
    with pytest.raises(ConfigError, match=words):
        memory.check_batch([algorithms.get(name).Config(**settings)], spec_of(name), CPU)


@pytest.mark.parametrize("name", [name for name in algorithms.names() if algorithms.is_discrete(name)])
def test_every_discrete_action_takes_memory_for_each_row(name, monkeypatch):
    """A step on 256 rows with 10^5 actions was measured at 309 MB or more, for each algorithm."""
    monkeypatch.setattr(memory, "free_bytes", lambda _: 290_000_000)
    configs = [algorithms.get(name).Config(hidden=(4,), batch_size=256)]
    with pytest.raises(ConfigError, match=r"batches of 256 rows with 100000 actions.* take .* fewer actions"):
        memory.check_batch(configs, Spec(3, 100_000, True), CPU)
    memory.check_batch(configs, Spec(3, 1_000, True), CPU)


def test_next_states_of_windows_take_memory(monkeypatch):
    """20 windows of 1000 steps with 10,000 features: 0.8 GB if every next state is needed."""
    monkeypatch.setattr(memory, "free_bytes", lambda _: 700_000_000)
    spec, config = Spec(10_000, 2, False, (-1.0, -1.0), (1.0, 1.0)), algorithms.get("sac").Config
    settings = {"batch_size": 20, "n_steps": 1000}
    with pytest.raises(
        ConfigError, match=r"batches of 20 rows with windows of 1000 steps take 80\d\.\d MiB.* n_steps, "
    ):
        memory.check_batch([config(**settings, trace=0.5)], spec, CPU)
    memory.check_batch([config(**settings)], spec, CPU)
    memory.check_batch([config(**settings | {"n_steps": 1})], spec, CPU)


def test_windows_that_are_valued_at_once_take_memory(monkeypatch):
    """1000 rows of windows of 101 steps: 100,000 states, each with two layers of 1000: 0.8 GB of one network."""
    monkeypatch.setattr(memory, "free_bytes", lambda _: 790_000_000)
    configs = [algorithms.get("sac").Config(batch_size=1000, n_steps=101, trace=0.5, hidden=(1000, 1000))]
    with pytest.raises(ConfigError, match="windows of 101 steps"):
        memory.check_batch(configs, spec_of("sac"), CPU)


def test_the_defaults_pass_on_a_small_machine(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda *_: 2 << 30)
    for name in algorithms.names():
        configs = [algorithms.get(name).Config()] * 8
        memory.check_networks(algorithms.get(name), configs, spec_of(name), CPU)
        memory.check_batch(configs, spec_of(name), CPU)


def test_both_figures_are_said(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda *_: 3 << 30)
    memory.check(3 << 30, "tables", "take fewer")
    with pytest.raises(
        ConfigError, match=r"^tables take 5\.0 GiB, this machine has 3\.0 GiB of memory free: take fewer$"
    ):
        memory.check(5 << 30, "tables", "take fewer")
    monkeypatch.setattr(memory, "free_bytes", lambda *_: None)
    memory.check(1 << 60, "tables", "take fewer")


def test_more_members_than_any_machine_trains_are_refused_before_they_are_made():
    config = algorithms.get("bc").Config()
    with pytest.raises(ConfigError, match="make 10,000,000 members"):
        grid(config, {}, range(10**7))
    with pytest.raises(ConfigError, match="make 40,000 members"):
        groups(config, {"batch_size": list(range(1, 201))}, range(200))


def test_errors_of_a_full_memory_are_recognised():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("out of memory"))
