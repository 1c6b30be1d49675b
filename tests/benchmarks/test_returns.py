"""Return over minutes: the marks of a run, the file that grows run by run, table and figure. No time is asserted."""

import json
import re

import pytest
from benchmarks.peers import server
from benchmarks.peers.client import Peer
from benchmarks.returns import __main__ as command
from benchmarks.returns import course, logs, picture, racers, results, table

from prudent import presets
from prudent.data import load_dataset
from prudent.errors import ConfigError


def point(step, mark, value, predicted=50.0):
    return {"step": step, "mark": mark, "minutes": mark, "return": value, "predicted": predicted, "realised": 60.0}


def run_of(racer, seed, returns, log="hopper", minutes=4.0):
    marks = [minutes * (k + 1) / 4 for k in range(len(returns))]
    points = [point(1000 * (k + 1), mark, value) for k, (mark, value) in enumerate(zip(marks, returns, strict=True))]
    return {"log": log, "racer": racer, "seed": seed, "points": points}


def results_of(*runs, times=1):
    log = {"env": "Hopper-v5", "fingerprint": "f", "rows": 40_000, "mean": 100.0, "best_tenth": 300.0, "best": 400.0}
    return {"settings": {"minutes": 4.0, "times": times}, "logs": {"hopper": log}, "runs": list(runs)}


# --- one run ----------------------------------------------------------------------------------------------------------


def test_a_run_is_evaluated_at_the_first_step_past_each_mark_and_only_steps_cost():
    steps, said = [], []

    def measure(calls):
        steps.append(calls)
        return 100.0  # milliseconds per step

    points = course.run([0.5, 1.0], measure, lambda: {"return": float(sum(steps))}, seconds=6.0, say=said.append)
    # 6 s before the first step; a tenth of a second each: 240 steps to half a minute, 300 to the next.
    assert [p["step"] for p in points] == pytest.approx([240, 540], abs=1)
    assert [p["minutes"] for p in points] == pytest.approx([0.5, 1.0], abs=0.002)
    assert [p["mark"] for p in points] == [0.5, 1.0]
    assert [p["return"] for p in points] == [p["step"] for p in points], "evaluated after its steps"
    assert said == points


def test_a_policy_whose_actions_are_no_longer_numbers_ends_the_run():
    points = course.run([0.1, 0.2, 0.3], lambda _: 1000.0, lambda: {"return": None}, 0.0, lambda _: None)
    assert len(points) == 1


def test_only_the_other_librarys_cql_goes_on_for_longer():
    marks = course.Marks(minutes=3.0, count=3, times=2)
    assert marks.of("quick") == [1.0, 2.0, 3.0]
    assert marks.of("d3rlpy_cql") == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


# --- the file of results ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """A command with two racers on a built-in log, and its words."""
    folder = tmp_path_factory.mktemp("returns")
    words = ["pendulum-mixed", "--racers", "bc", "td3_bc", "--seeds", "0", "--minutes", "0.001", "--marks", "2"]
    words += ["--episodes", "1", "--results", str(folder / "returns.json"), "--picture", str(folder / "returns.png")]
    assert command.main(words) == 0
    return folder, words


def test_the_command_writes_results_and_a_figure(raced):
    folder, _ = raced
    found = json.loads((folder / "returns.json").read_text())
    assert [(run["racer"], run["seed"]) for run in found["runs"]] == [("bc", 0), ("td3_bc", 0)]
    for run in found["runs"]:
        assert [p["mark"] for p in run["points"]] == pytest.approx([0.0005, 0.001])
        assert all(-2000 < p["return"] < 0 for p in run["points"])
        assert all(p["minutes"] >= p["mark"] for p in run["points"])
    cloning, critics = found["runs"]
    assert cloning["points"][-1]["predicted"] is None
    assert critics["points"][-1]["predicted"] is not None
    assert found["logs"]["pendulum-mixed"]["rows"] == 30_000
    assert (folder / "returns.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_command_makes_only_what_is_missing(raced, monkeypatch, capsys):
    folder, words = raced
    before = (folder / "returns.json").read_text()
    made = []

    def one(log, _dataset, racer, seed, _options):
        made.append((log.name, racer, seed))
        return run_of(racer, seed, [-500.0, -400.0], log=log.name, minutes=0.001)

    monkeypatch.setattr(command, "one", one)
    assert command.main(words) == 0
    assert (made, (folder / "returns.json").read_text()) == ([], before)
    more = [*words, "--results", str(folder / "more.json")]
    more[more.index("--seeds") + 1 : more.index("--minutes")] = ["0", "1"]
    (folder / "more.json").write_text(before)
    assert command.main(more) == 0
    assert made == [("pendulum-mixed", "bc", 1), ("pendulum-mixed", "td3_bc", 1)]
    assert len(json.loads((folder / "more.json").read_text())["runs"]) == 4
    assert "prudent TD3+BC | 2 |" in capsys.readouterr().out


def test_an_interrupted_call_keeps_the_runs_that_were_finished(raced, monkeypatch):
    folder, words = raced
    path = folder / "cut.json"

    def one(log, _dataset, racer, seed, _options):
        if racer == "td3_bc":
            raise KeyboardInterrupt
        return run_of(racer, seed, [-500.0], log=log.name)

    monkeypatch.setattr(command, "one", one)
    with pytest.raises(KeyboardInterrupt):
        command.main([*words, "--results", str(path)])
    assert [run["racer"] for run in json.loads(path.read_text())["runs"]] == ["bc"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--minutes", "2"], "has results with minutes 0.001, not 2.0: give another --results"),
        (["--episodes", "0"], "--episodes must be above 0, got 0"),
        (["--seeds", "0", "0"], r"--seeds must be different whole numbers from 0, got \[0, 0\]"),
        (["--racers", "d3rlpy_cql"], "d3rlpy_cql needs --peers, the Python of an environment with d3rlpy"),
        (["--peers", "no-such-python", "--racers", "d3rlpy_cql"], "no-such-python"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(raced, capsys, change, message):
    folder, words = raced
    before = (folder / "returns.json").read_text()
    assert command.main([*words, *change]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert re.search(message, said), said
    assert (folder / "returns.json").read_text() == before


def test_another_log_of_the_same_name_is_refused(tmp_path):
    found = results_of()
    with pytest.raises(ConfigError, match="results of another log called hopper: give another --results"):
        results.add_log(found, "hopper", {"fingerprint": "g"}, tmp_path / "r.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": {}}', '{"settings": 3, "logs": {}, "runs": []}'])
def test_a_damaged_file_is_named_and_kept(tmp_path, text):
    path = tmp_path / "returns.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"returns\.json"):
        results.opened(path, {"minutes": 1.0}, {})
    assert path.read_text() == text


# --- logs and racers --------------------------------------------------------------------------------------------------


def test_logs_are_files_joined_files_or_all_files_of_a_folder(tmp_path):
    for name in ("walker2d-medium.hdf5", "hopper-medium.hdf5", "table.txt"):
        (tmp_path / name).touch()
    assert [(log.name, log.env) for log in logs.named([str(tmp_path)])] == [
        ("hopper-medium", "Hopper-v5"),
        ("walker2d-medium", "Walker2d-v5"),
    ]
    (joined,) = logs.named(["a/hopper-medium.hdf5+a/hopper-expert.hdf5"])
    assert joined.name == "hopper-medium+hopper-expert"
    assert joined.sources == ("a/hopper-medium.hdf5", "a/hopper-expert.hdf5")
    assert logs.named(["mine.hdf5"], "Pendulum-v1")[0].env == "Pendulum-v1"
    with pytest.raises(ConfigError, match=r"mine: the name begins with none of hopper.*give --env"):
        logs.named(["mine.hdf5"])
    with pytest.raises(ConfigError, match="two logs are called hopper-medium"):
        logs.named(["a/hopper-medium.hdf5", "b/hopper-medium.hdf5"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no log"):
        logs.named([str(tmp_path / "empty")])


def test_the_best_tenth_is_a_mean_over_the_best_episodes():
    log = logs.Log("pendulum-mixed", ("pendulum-mixed",), "Pendulum-v1")
    dataset = log.load()
    found = logs.recorded(log, dataset)
    ordered = sorted(dataset.episode_returns)
    assert found["best_tenth"] == pytest.approx(sum(ordered[-15:]) / 15), "15 of 150 episodes"
    assert (found["best"], found["episodes"]) == (pytest.approx(ordered[-1]), 150)


def test_every_racer_of_this_library_has_a_preset_of_its_own():
    own = {name: racer.preset for name, racer in racers.RACERS.items() if racer.preset}
    assert all(preset in presets.PRESETS for preset in own.values())
    assert presets.get(own["quick"]).config.n_steps == 5
    assert [presets.get(own[name]).algorithm for name in ("locomotion", "iql", "td3_bc", "rebrac")] == [
        "cql",
        "iql",
        "td3_bc",
        "rebrac",
    ]


class PeerInside(Peer):
    """A peer in this process: its steps and its policy without the pipe."""

    def __init__(self, name, data, threads, python=None, options=None):
        self.name, self.threads, self.python = name, threads, python
        self.steps, self._policy, self.versions = server.make({"peer": name, "data": str(data), **options})

    def measure(self, calls):
        for _ in range(calls):
            self.steps["step"]()
        return 1.0

    def policy(self, what, states):
        return self._policy(what, states)

    def close(self):
        pass


def test_a_peer_starts_from_its_seed_and_acts_within_the_bounds_of_the_log(monkeypatch):
    monkeypatch.setattr(racers, "Peer", PeerInside)
    dataset = load_dataset("pendulum-mixed")
    states = dataset.observation[None, :50]
    small = racers.Racer("small", peer="corl", options={"hidden": [8], "batch": 8, "n_actions": 2, "normalize": True})
    actions = []
    for seed in (0, 0, 1):
        with racers.started(small, dataset, seed, "python of the peers") as racing:
            racing.measure(2)
            actions.append(racing.agent.act(states, True, None))
            drawn = racing.agent.act(states, False, None)
            assert racing.agent.predicted_value(states, None).shape == (1, 50)
    first, again, other = actions
    assert first.shape == drawn.shape == (1, 50, 1)
    assert (first == again).all()
    assert (first != other).any()
    assert (drawn != other).any()
    assert 1 < abs(drawn).max() <= 2, "actions in the log's unit"


@pytest.mark.parametrize(("racer", "expected"), [("corl_cql", None), ("d3rlpy_td3_bc", "python of the peers")])
def test_only_d3rlpy_needs_an_environment_of_its_own(monkeypatch, racer, expected):
    asked = []

    class StopError(Exception):
        pass

    def peer(name, _data, threads, python, options):
        asked.append((name, threads, python, options["seed"], options.get("algorithm")))
        raise StopError

    monkeypatch.setattr(racers, "Peer", peer)
    with (
        pytest.raises(StopError),
        racers.started(racers.RACERS[racer], load_dataset("pendulum-mixed"), 3, "python of the peers"),
    ):
        pass
    (found,) = asked
    assert found[1:4] == (1, expected, 3)


# --- table and figure -------------------------------------------------------------------------------------------------


def test_the_table_has_means_over_seeds_at_shares_of_the_minutes_the_best_first():
    quick = run_of("quick", 0, [10.0, 20.0, 30.0, 40.0]), run_of("quick", 1, [20.0, 40.0, 60.0, 200.0])
    head, rows = table.rows(results_of(run_of("bc", 0, [90.0] * 4), *quick))
    assert head[3:6] == ["return after 1 min", "return after 2 min", "return after 4 min"]
    assert "mean 100, best tenth 300, best 400" in rows[0][0]
    title, *cells = rows[1]
    assert (title, cells[:2], cells[-1]) == ("prudent CQL, quick", ["2", "1,000"], "50 / 60")
    assert cells[2:5] == ["15 (10 to 20)", "30 (20 to 40)", "120 (40 to 200)"]
    assert rows[2][:4] == ["prudent BC", "1", "1,000", "90"]


def test_the_table_says_who_diverged_and_leaves_empty_what_was_not_reached():
    longer = run_of("d3rlpy_cql", 0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    head, rows = table.rows(results_of(longer, run_of("quick", 0, [10.0, None]), run_of("iql", 0, [7.0]), times=2))
    cells = {row[0]: row[3:] for row in rows}
    assert head[6] == "return after 8 min"
    assert cells["d3rlpy CQL"][:4] == ["1", "2", "4", "8"]
    assert cells["prudent CQL, quick"][:3] == ["10", "diverged", "diverged"]
    assert cells["prudent IQL"][:4] == ["7", "", "", ""]


def test_the_figure_leaves_out_what_nobody_raced_on(tmp_path):
    found = results_of(run_of("quick", 0, [10.0, 20.0]), run_of("quick", 1, [30.0, None]), run_of("bc", 0, [5.0] * 4))
    found["logs"]["walker2d"] = found["logs"]["hopper"]
    drawn = picture.draw(found, tmp_path / "returns.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert picture.racing(found) == ["quick"]
