"""What is known of a policy's worth, from the files of its run."""

import pytest

from prudent.errors import PrudentError
from prudent.export import worth
from prudent.runs.folder import write_json

ESTIMATE = {"value": 5.0, "ci95": [4.0, 6.0]}
POLICY = {"run": "", "title": "seed=0", "discount": 0.9, "fqe": ESTIMATE, "support": {"episodes": 12}}


def value_file(folder, **changes):
    content = {"step": 100, "dataset": "new.npz", "episodes": 12, "seen": True, "best": "seed=0", "policies": [POLICY]}
    write_json(folder / "value.json", {**content, **changes})


def test_value_and_return_of_the_member_and_step(tmp_path):
    value_file(tmp_path, lead="fqe")
    row = {"return_mean": 3.0, "iqm": 2.5, "ci95": [1.0, 4.0]}
    write_json(tmp_path / "evaluation.json", {"step": 100, "members": {"seed=0": row, "seed=1": {"return_mean": None}}})
    write_json(tmp_path / "config.json", {"env": "Pendulum-v1"})
    found = worth.of_run(tmp_path, "seed=0", 100, "good", ["because"])
    assert (found["verdict"], found["reasons"]) == ("good", ["because"])
    assert found["value"] == {
        "value": 5.0,
        "interval": [4.0, 6.0],
        "level": 0.95,
        "by": "fqe",
        "discount": 0.9,
        "dataset": "new.npz",
        "episodes": 12,
        "trained_on_these": True,
    }
    assert found["return"] == {"mean": 3.0, "iqm": 2.5, "interval": [1.0, 4.0], "env": "Pendulum-v1"}
    for name, step in (("seed=1", 100), ("seed=0", 50)):
        other = worth.of_run(tmp_path, name, step, None, [])
        assert (other["value"], other["return"]) == (None, None), "of another member or step"


def test_a_value_that_the_log_does_not_support_is_none(tmp_path):
    value_file(tmp_path, policies=[{**POLICY, "fqe": {"value": None, "ci95": None}}])
    assert worth.of_run(tmp_path, "seed=0", 100, None, [])["value"] is None
    assert worth.of_run(tmp_path, "seed=0", 100, None, [])["return"] is None


@pytest.mark.parametrize(
    "content", [{"policies": 3}, {"policies": [{"run": ""}]}, {"policies": [{**POLICY, "fqe": 1}]}]
)
def test_a_damaged_file_is_named(tmp_path, content):
    value_file(tmp_path, **content)
    with pytest.raises(PrudentError, match=r"value\.json"):
        worth.of_run(tmp_path, "seed=0", 100, None, [])
