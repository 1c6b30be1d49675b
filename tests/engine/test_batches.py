"""Rows, pools and optional columns that members learn from."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.data_logs import logged
from helpers.trajectories import tensors_of
from prudent import algorithms
from prudent.algorithms import cql, rebrac
from prudent.data import Dataset
from prudent.data.dataset import COLUMNS
from prudent.data.mapped.folder import Writer
from prudent.data.readers.stream import rows_of
from prudent.engine.batches import TrainingData, best_rows, network_batch
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper

LENGTHS, RETURNS = (2, 3, 1, 4), (5.0, 1.0, 9.0, 7.0)


def episodes(**changes) -> Dataset:
    """Four episodes of the given lengths and returns; an observation is its row."""
    rows = sum(LENGTHS)
    ends = np.isin(np.arange(rows), np.cumsum(LENGTHS) - 1)
    reward = np.concatenate([np.full(n, total / n) for n, total in zip(LENGTHS, RETURNS, strict=True)])
    columns = {
        "observation": np.arange(rows)[:, None],
        "action": np.linspace(-1, 1, rows)[:, None],
        "reward": reward,
        "next_observation": np.arange(rows)[:, None] + 1.0,
        "terminated": ends,
        "truncated": np.zeros(rows, dtype=bool),
    }
    return Dataset.from_columns(**{**columns, **changes})


def hyper(*fractions) -> Hyper:
    config = algorithms.get("bc").Config
    return Hyper([config(top_fraction=f, normalize_observations=False) for f in fractions])


def test_the_best_episodes_that_hold_a_share_of_the_rows():
    # By return: rows 5 (9.0), 6-9 (7.0), 0-1 (5.0), 2-4 (1.0), together 1, 5, 7 and 10 rows.
    pools = best_rows(episodes(), hyper(0.1, 0.2, 0.5, 0.51, 0.7, 0.9))
    best = [[5], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9], [0, 1, 5, 6, 7, 8, 9], [0, 1, 5, 6, 7, 8, 9], list(range(10))]
    assert [pool.rows(torch.arange(len(pool))).tolist() for pool in pools] == best
    assert best_rows(episodes(), hyper(1.0, 1.0)) == []


def test_members_clone_the_best_of_their_own_share():
    data = episodes()
    settings = hyper(0.1, 1.0)
    source = TrainingData(data, Scaling.fit(data, False), settings, torch.device("cpu"), ())
    batch = source.sample(MemberRng([0, 1], "sample"), 200)
    assert set(batch.observation[0].flatten().tolist()) == {5.0}
    assert set(batch.observation[1].flatten().tolist()) == set(range(10)), "the other member sees all rows"


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_is_within_0_and_1(wrong):
    for name in ("bc", "discrete_bc"):
        with pytest.raises(ConfigError, match="top_fraction"):
            algorithms.get(name).Config(top_fraction=wrong)


def test_columns_nobody_needs_are_not_there():
    data = episodes()
    source = TrainingData(data, Scaling.fit(data, False), hyper(1.0), torch.device("cpu"), ())
    batch = source.sample(MemberRng([0], "sample"), 4)
    for name in ("return_to_go", "next_action", "next_action_known", "mask", "next_mask", "dt"):
        assert getattr(batch, name) is None, f"{name} was made though nothing needs it"


def test_returns_to_go_count_the_length_of_steps():
    data = episodes(extra={"dt": np.full(10, 2.0)})
    source = TrainingData(data, Scaling.fit(data, False), hyper(1.0), torch.device("cpu"), ("return_to_go",))
    found = source.return_to_go_PR[0].numpy()
    discount, inside = algorithms.get("bc").Config().discount, np.flatnonzero(~(data.terminated | data.truncated))
    np.testing.assert_allclose(found[inside], data.reward[inside] + discount**2 * found[inside + 1], rtol=1e-5)


def test_masks_belong_to_their_rows():
    rows = 10
    mask = np.zeros((rows, 3), dtype=bool)
    mask[np.arange(rows), np.arange(rows) % 3] = True
    after = np.roll(mask, 1, axis=1)
    # No row is terminated: behind a termination every mask is open.
    ends = {"terminated": np.zeros(rows, dtype=bool), "truncated": np.arange(rows) == 4}
    masks = {"mask": mask, "next_mask": after}
    data = episodes(action=np.arange(rows) % 3, discrete=True, n_actions=3, extra=masks, **ends)
    config = algorithms.get("discrete_cql").Config(normalize_observations=False)
    source = TrainingData(data, Scaling.fit(data, False), Hyper([config]), torch.device("cpu"), ())
    batch = source.sample(MemberRng([0], "sample"), 50)
    row = batch.observation[0, :, 0].long()
    assert batch.action.dtype == torch.int64
    assert torch.equal(batch.action[0], row % 3)
    assert torch.equal(batch.mask[0], torch.from_numpy(mask)[row])
    assert torch.equal(batch.next_mask[0], torch.from_numpy(after)[row])


def test_rows_in_no_order_of_time_are_refused_where_order_matters():
    shuffled = np.random.default_rng(0).permutation(30)
    ends = np.isin(shuffled, (9, 19, 29))
    data = episodes(
        observation=shuffled[:, None],
        next_observation=shuffled[:, None] + 1.0,
        action=np.zeros((30, 1)),
        reward=np.ones(30),
        terminated=ends,
        truncated=np.zeros(30, dtype=bool),
    )
    scaling = Scaling.fit(data, False)
    TrainingData(data, scaling, hyper(1.0), torch.device("cpu"), ())
    for settings, needs in ((hyper(1.0), ("next_action",)), (hyper(1.0), ("return_to_go",)), (hyper(0.5), ())):
        with pytest.raises(DataError, match="rows do not lead to the next one"):
            TrainingData(data, scaling, settings, torch.device("cpu"), needs)


def test_a_gap_within_an_episode_has_no_next_action():
    observation = np.arange(10.0)[:, None]
    observation[7] = 70.0
    data = episodes(observation=observation, next_observation=np.arange(1.0, 11.0)[:, None])
    known = data.followed
    assert not known[6], "the row before a gap does not know what came next"
    assert known[7], "from there on rows follow each other again"


@pytest.fixture
def random_log():
    """Five episodes of 40 random rows."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(201, 3))
    return Dataset.from_columns(
        observation=states[:-1],
        action=rng.uniform(-2, 2, size=(200, 2)),
        reward=rng.normal(size=200),
        next_observation=states[1:],
        terminated=np.arange(200) % 40 == 39,
        truncated=np.zeros(200, dtype=bool),
        action_low=-2.0,
        action_high=2.0,
    )


def mapped(dataset, folder) -> Dataset:
    """The same dataset, its rows in files."""
    with Writer(folder, len(dataset)) as writer:
        writer.append(rows_of(dataset, slice(None)))
        return writer.finish(dataset.spec, dataset.name)


@pytest.mark.parametrize("fraction", [1.0, 0.3])
def test_mapped_rows_give_the_batches_of_those_in_memory(random_log, tmp_path, fraction):
    files = mapped(random_log, tmp_path / "log")
    configs = [algorithms.get("bc").Config(top_fraction=f) for f in (fraction, 1.0)]
    settings, needs = Hyper(configs), ("next_action", "return_to_go")
    for config in configs:
        # What bc does not have, and returns need.
        object.__setattr__(config, "discount", 0.9)
    found = []
    for data in (random_log, files):
        source = TrainingData(data, Scaling.fit(data, True), settings, torch.device("cpu"), needs)
        rng = MemberRng([0, 1], "sample")
        batches = [source.sample(rng, size) for size in (8, 8, 8, 5, 8)]
        found.append((source, batches, rng.state()))
    (inside, batches, state), (outside, others, other_state) = found
    assert inside.on_device
    assert not outside.on_device
    for batch, other in zip(batches, others, strict=True):
        for tensor, same in zip(tensors_of(batch), tensors_of(other), strict=True):
            assert torch.equal(tensor, same)
    assert torch.equal(state, other_state), "a checkpoint would store other generators"


def resident(folder) -> int:
    """KiB of a folder's files that this process has as its own."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if line[:1] in "0123456789abcdef":
            inside = str(folder) in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_batches_leave_nothing_of_the_files_resident(random_log, tmp_path):
    files = mapped(random_log, tmp_path / "log")
    source = TrainingData(files, Scaling.fit(files, True), hyper(1.0), torch.device("cpu"), ())
    rng = MemberRng([0], "sample")
    for _ in range(3):
        source.sample(rng, 64)
    assert resident(tmp_path / "log") == 0
    assert files.observation.sum() != 0
    assert resident(tmp_path / "log") > 0, "this test sees nothing"


def test_parts_of_mappings_give_the_same_batches(random_log, tmp_path):
    files = mapped(random_log, tmp_path / "log")
    rows = slice(40, 120)
    parts = {name: getattr(files, name)[rows] for name in COLUMNS}
    inside = {name: np.array(column) for name, column in parts.items()}
    found = []
    for columns in (parts, inside):
        data = Dataset(**columns, spec=files.spec)
        source = TrainingData(data, Scaling.fit(data, True), hyper(1.0), torch.device("cpu"), ("next_action",))
        rng = MemberRng([0], "sample")
        found.append([source.sample(rng, 8) for _ in range(3)])
    for batch, other in zip(*found, strict=True):
        for name, tensor in vars(batch).items():
            if isinstance(tensor, torch.Tensor):
                assert torch.equal(tensor, getattr(other, name)), f"{name} differs"


def test_where_the_columns_lie_is_told(random_log, tmp_path):
    for data, words in ((random_log, "on cpu"), (mapped(random_log, tmp_path / "log"), "mapped from files")):
        source = TrainingData(data, Scaling.fit(data, False), hyper(1.0), torch.device("cpu"), ())
        assert words in source.memory()
        assert source.memory().startswith("data 7.2 KiB"), "200 rows of 9 numbers and a flag"


def test_members_that_agree_share_their_returns(random_log):
    config = algorithms.get("cql").Config()
    source = TrainingData(
        random_log,
        Scaling.fit(random_log, False),
        Hyper([config] * 3),
        torch.device("cpu"),
        ("return_to_go",),
    )
    assert source.return_to_go_PR.shape == (3, 200)
    assert source.return_to_go_PR.untyped_storage().nbytes() == 4 * 200


def test_returns_are_given_up_only_when_no_batch_is_in_the_making(random_log, tmp_path, monkeypatch):
    files, device = mapped(random_log, tmp_path / "log"), torch.device("cpu")
    configs = Hyper([algorithms.get("cql").Config()])
    source = TrainingData(files, Scaling.fit(files, True), configs, device, ("return_to_go",))
    reached, go_on, seen = threading.Event(), threading.Event(), []
    gather = source._gather

    def held(rows_PB):
        if threading.current_thread().name.startswith("prefetch"):
            reached.set()
            assert go_on.wait(10)
        batch = gather(rows_PB)
        seen.append(batch.return_to_go is not None)
        return batch

    monkeypatch.setattr(source, "_gather", held)
    rng = MemberRng([0], "sample")
    assert source.sample(rng, 8).return_to_go is not None
    assert reached.wait(10)
    forgets = threading.Thread(target=source.forget_returns)
    forgets.start()
    forgets.join(0.05)
    assert source.return_to_go_PR is not None, "given up under the batch in the making"
    go_on.set()
    forgets.join(10)
    assert source.return_to_go_PR is None
    assert source.sample(rng, 8).return_to_go is None, "a batch from before was handed out"
    assert seen[:3] == [True, True, False]


# --- own batches ------------------------------------------------------------------------------------------------------


def test_a_batch_of_the_log_becomes_one_for_every_member():
    data = logged(action_low=-4.0, action_high=4.0)
    config = cql.Config(hidden=(8,), batch_size=5, n_actions=2)
    population = Population("cql", grid(config, {"reward_scale": [1.0, 3.0]}, [0]), data.spec, Scaling.fit(data, True))
    t = torch.from_numpy
    own = Batch(
        t(data.observation[:5]),
        t(data.action[:5]),
        t(data.reward[:5]),
        t(data.next_observation[:5]),
        t(data.terminated[:5]),
    )
    batch = network_batch(population, own)
    assert batch.observation.shape == (2, 5, 3)
    np.testing.assert_allclose(batch.action[1], data.action[:5] / 4, rtol=1e-6)
    np.testing.assert_allclose(batch.reward[1], data.reward[:5] * 3, rtol=1e-6)
    expected = population.scaling.observation(t(data.observation[:5]))
    assert torch.equal(batch.observation[0], expected)
    population.update(batch)
    with pytest.raises(DataError, match="4 rows, the agent's batch_size is 5"):
        network_batch(population, own.map(lambda x: x[:4]))


@pytest.mark.parametrize("name", ["next_action", "next_action_known"])
def test_a_batch_without_its_next_actions_is_refused(name):
    data = logged()
    config = rebrac.Config(hidden=(8,), batch_size=5)
    population = Population("rebrac", grid(config, {}, [0]), data.spec, Scaling.fit(data, True))
    with pytest.raises(DataError, match=f"the batch has no {name}, which rebrac learns from"):
        network_batch(population, replace(next(data.batches(5)), **{name: None}))
    with pytest.raises(DataError, match=f"the batch's {name} has shape"):
        network_batch(population, replace(next(data.batches(5)), **{name: torch.ones(4)}))
