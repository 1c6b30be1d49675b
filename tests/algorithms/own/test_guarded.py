"""Whatever a user's function raises or returns is one line that names the file and the line of it."""

import pytest
import torch

import prudent
from helpers.own import algorithm_file
from helpers.runs import write_log
from prudent.errors import ConfigError

Q = "    q_PB = networks.q_min("


def fit(path, folder, steps=3, **settings):
    data = prudent.load_dataset(write_log(folder / "log.npz"))
    agent = prudent.agent_class(path)(device="cpu", hidden=(8, 8), batch_size=8, **settings)
    return agent.fit(data, steps=steps, threads=1, progress=False), data


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "    raise ValueError('two\\nlines')\n",
            r"^mine\.py: update_actor: mine\.py line 5\d: ValueError: two lines$",
        ),
        ("    raise SystemExit(3)\n", r"^mine\.py: update_actor: mine\.py line 5\d: SystemExit: 3$"),
        ("    nets['critc']\n", r"^mine\.py: update_actor: mine\.py line 5\d: KeyError: 'critc'$"),
        ("    nn.mlp(nets['actor'], batch.action)\n", r"^mine\.py: update_actor: mine\.py line 5\d: RuntimeError: .+$"),
    ],
)
def test_what_it_raises(code, line, tmp_path):
    with pytest.raises(ConfigError, match=line):
        fit(algorithm_file(tmp_path, **{Q: code + Q}), tmp_path)


def test_what_it_returns(tmp_path):
    path = algorithm_file(tmp_path, **{"updates.actor_step(actor_loss)": "lambda *_: None"})
    with pytest.raises(ConfigError, match=r"^mine\.py: update_actor must return its metrics, a dictionary"):
        fit(path, tmp_path)


def test_a_check_of_settings_that_raises(tmp_path):
    checks = "\n    def __post_init__(self):\n        super().__post_init__()\n        1 / (self.alpha - 3)\n"
    path = algorithm_file(tmp_path, **{"against cloning the log\n": f"against cloning the log\n{checks}"})
    mine = prudent.agent_class(path)
    with pytest.raises(ConfigError, match=r"^mine\.py: Config: mine\.py line \d+: ZeroDivisionError"):
        mine(alpha=3.0)
    assert mine(alpha=2.0).get_params()["alpha"] == 2.0


def test_a_setting_that_is_refused_keeps_its_own_line(tmp_path):
    checks = (
        "\n    def __post_init__(self):\n        super().__post_init__()\n"
        "        config.check_within(self, 0, 5, 'alpha')\n"
    )
    edits = {
        "against cloning the log\n": f"against cloning the log\n{checks}",
        "from prudent import nn": "from prudent import config, nn",
    }
    with pytest.raises(ConfigError, match=r"^alpha must lie within \[0, 5\], got 7"):
        prudent.agent_class(algorithm_file(tmp_path, **edits))(alpha=7.0)


def test_memory_that_is_used_up_is_not_the_user_s_mistake(tmp_path):
    path = algorithm_file(tmp_path, **{Q: f"    raise RuntimeError('CUDA out of memory')\n{Q}"})
    with pytest.raises(RuntimeError, match=r"^CUDA out of memory$"):
        fit(path, tmp_path)


def test_ctrl_c_is_ctrl_c(tmp_path):
    path = algorithm_file(tmp_path, **{Q: f"    raise KeyboardInterrupt\n{Q}"})
    with pytest.raises(KeyboardInterrupt):
        fit(path, tmp_path)


def test_the_guard_changes_no_figure(tmp_path):
    """A copy of TD3+BC as a user's file trains to the same bits as the library's."""
    path = tmp_path / "same.py"
    path.write_text(
        '"""TD3+BC again."""\n\nfrom prudent.algorithms.td3_bc import *\n'
        "from prudent.algorithms.td3_bc import Config\n"
        'TITLE, POLICY, NEEDS = "Same", "deterministic", ()\n'
    )
    agent, _ = fit(path, tmp_path, steps=6)
    data = prudent.load_dataset(tmp_path / "log.npz")
    library = prudent.TD3BC(device="cpu", hidden=(8, 8), batch_size=8).fit(data, steps=6, threads=1, progress=False)
    expected, found = library.population.tensors(), agent.population.tensors()
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
