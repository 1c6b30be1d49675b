"""The contract test for everybody: it passes the library's algorithms, and says which clause a fault breaks."""

import importlib.util
import re
import sys
from importlib import resources

import pytest

from prudent import algorithms
from prudent.errors import ConfigError
from prudent.testing import BrokenContractError, __main__, broken_clauses, check_algorithm

TEMPLATE = (resources.files("prudent.testing") / "template.py").read_text(encoding="utf-8")
DISCRETE = '''"""A discrete algorithm."""

from dataclasses import dataclass

import torch

from prudent.algorithms import discrete_bc
from prudent.algorithms.discrete_bc import act, draw, init, update_actor, update_critic, update_target

TITLE, POLICY, NEEDS = "MyDiscrete", "categorical", ()


@dataclass(frozen=True, kw_only=True)
class Config(discrete_bc.Config):
    """Settings."""

    own: float = 1.0  # a setting that nothing reads


q_value = None
'''


def written(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def edited(text, *edits):
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("name", algorithms.names())
def test_the_library_s_algorithms_keep_it(name):
    check_algorithm(name)


def test_a_file_and_a_module_are_checked_alike(tmp_path, monkeypatch):
    path = written(tmp_path, TEMPLATE)
    check_algorithm(path)
    check_algorithm(str(path))
    specification = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    with pytest.raises(ConfigError, match="mine is not imported: import it, or give the path of its file"):
        check_algorithm(module)
    monkeypatch.setitem(sys.modules, "mine", module)
    check_algorithm(module)
    check_algorithm(written(tmp_path, DISCRETE, "discrete.py"))
    assert algorithms.own_names() == [], "a check gives no algorithm"


LAST = "update_target, act, q_value = updates.update_polyak, networks.actor_action, networks.q_min"
STEPS = "update_critic, update_actor = updates.critic_step(critic_loss), updates.actor_step(actor_loss)"
Q = "    q_PB = networks.q_min("
DRAW = "return rng.normal(hyper.batch_size, spec.action_size)"
STATE = "    return updates.State(nets"


def acting(code):
    """The edit that lets ``act`` do something else."""
    head = "update_target, act, q_value = updates.update_polyak, "
    return [(LAST, f"{head}lambda nets, s, noise=None: {code}, networks.q_min")]


def valuing(code):
    return [(LAST, f"update_target, act, q_value = updates.update_polyak, networks.actor_action, {code}")]


def following(*lines):
    """The edit that lets ``update_target`` do more."""
    body = "".join(f"    {line}\n" for line in ("updates.update_polyak(state, hyper)", *lines))
    code = f"def update_target(state, hyper):\n{body}"
    return [(LAST, f"act, q_value = networks.actor_action, networks.q_min\nseen = []\n\n\n{code}")]


def in_critic_step(before, after=""):
    """The edit that lets ``update_critic`` do more."""
    step = "    metrics = updates.critic_step(critic_loss)(state, batch, noise, hyper)\n"
    body = f"    {before}\n{step}    {after or 'pass'}\n    return metrics\n"
    code = f"def update_critic(state, batch, noise, hyper):\n{body}"
    return [(STEPS, f"update_actor = updates.actor_step(actor_loss)\n\n\n{code}")]


def starting(line):
    return [(STATE, f"    {line}\n{STATE}")]


# What is planted in a working algorithm, and the line that says so.
FAULTS = {
    "no update_target": (
        [(LAST, "act, q_value = networks.actor_action, networks.q_min")],
        r"^update_target\(state, hyper\) is missing$",
    ),
    "no policy": ([('"gaussian"', '"normal"')], "^POLICY must be one of gaussian, .*, got 'normal'$"),
    "no title": ([('"MyAlgorithm"', "3")], "^TITLE must be the algorithm's name as people write it"),
    "an unknown column": ([('"gaussian", ()', '"gaussian", ("returns",)')], "^NEEDS must be a tuple of columns"),
    "a column that is a list": ([('"gaussian", ()', '"gaussian", ([],)')], "^NEEDS must be a tuple of columns"),
    "another signature": (
        [("def init(spec, hyper, rng):", "def init(spec, rng):")],
        r"^init must take \(spec, hyper, rng\)$",
    ),
    "no supervised step": (
        [("update_supervised = ", "_ = ")],
        "^update_supervised.* is missing: Config has value_init$",
    ),
    "settings of its own only": (
        [("class Config(settings.ActorCritic)", "class Config")],
        "^Config must inherit from a class in prudent.algorithms.shared.settings",
    ),
    "types as text": (
        [("from dataclasses import", "from __future__ import annotations\n\nfrom dataclasses import")],
        "^Config.alpha has its type as text: leave out 'from __future__",
    ),
    "no comment": (
        [("  # weight of Q, which is divided by its mean size, against cloning the log", "")],
        "^Config.alpha has no comment on its line",
    ),
    "a setting of another type": (
        [("    alpha: float = 2.5  #", "    sizes: list = None  # a list of widths\n    alpha: float = 2.5  #")],
        r"^Config.sizes has type <class 'list'>: a setting is float, int, bool, str, Literal",
    ),
    "a setting without a default": (
        [("    alpha: float = 2.5  #", "    alpha: float  #")],
        "^Config.alpha has no default$",
    ),
    "weights from elsewhere": (
        starting('nets["actor"]["b2"].normal_()'),
        "^init is not reproducible: take all random numbers from rng$",
    ),
    "the same weights": (
        starting("[v.zero_() for n in nets.values() for v in n.values()]"),
        "^init gives members of different seeds the same numbers",
    ),
    "a target that is no copy": (
        starting('nets["target_critic"] = nets["critic"]'),
        "^init lets target_critic share its memory with critic: copy it$",
    ),
    "no state": (
        [('return updates.State(nets, updates.adam_states(nets, ("actor", "critic")))', "return nets")],
        "init must return a State",
    ),
    "a network without members": (
        starting('nets["extra"] = {"w": torch.zeros(3)}'),
        r"tensors with the . members as first axis, extra\.w has shape \(3,\)$",
    ),
    "noise from elsewhere": (
        [(DRAW, "return torch.randn(2, hyper.batch_size, spec.action_size)")],
        "^draw is not reproducible: take all random numbers from rng$",
    ),
    "noise for all members together": (
        [(DRAW, f"{DRAW}[0]")],
        r"^draw must give each member its own numbers: noise has shape \(8, 2\), not \(P, \.\.\.\)$",
    ),
    "members mixed in the critics' loss": (
        [
            ("    return losses.bellman_loss(", "    loss_P, metrics = losses.bellman_loss("),
            ("hyper, y_PB)\n", "hyper, y_PB)\n    return loss_P * loss_P.mean(), metrics\n"),
        ],
        "^members are not independent: critic of the first member changes with the second one's rows",
    ),
    "members mixed in the actor's loss": (
        [("data_log_prob(nets, batch).mean(-1)", "data_log_prob(nets, batch).mean(0).mean().expand(2)")],
        "^members are not independent: metric actor_loss of the first member changes",
    ),
    "a draw inside a loss": (
        [(Q, f"    action = action + 0.1 * torch.randn_like(action)\n{Q}")],
        "^a step is not reproducible: .* actor differs; take random numbers from noise",
    ),
    "a gradient into the target network": (
        [("@torch.no_grad()\n", "")],
        "^a gradient flows into target_critic: compute the target under @torch",
    ),
    "a gradient through the live critics": (
        [("@torch.no_grad()\n", ""), ('nn.critic(nets["target_critic"]', 'nn.critic(nets["critic"]')],
        "^a gradient flows into the target of the critics: compute the target under @torch",
    ),
    "the critics' step moves the actor": (
        in_critic_step("update_actor(state, batch, noise, hyper)"),
        "^update_critic changes actor: leave that to update_actor$",
    ),
    "the critics' step moves the target": (
        in_critic_step("pass", "updates.update_polyak(state, hyper)"),
        "^update_critic changes target_critic: only update_target may$",
    ),
    "a target that stands still": (
        [("updates.update_polyak, networks.actor_action", "lambda state, hyper: None, networks.actor_action")],
        "^target_critic does not change in 4 steps: update_target must move it towards critic$",
    ),
    "a policy that stands still": (
        [("updates.actor_step(actor_loss)", "lambda *_: {}")],
        "^actor does not change in 4 steps: the policy does not learn$",
    ),
    "a metric for all members": (
        [('{"actor_loss": loss_P, "q_policy": q_PB.mean(-1)}', '{"actor_loss": loss_P.mean()}')],
        r"update_actor must return one number per member, shape \(2,\), for each metric: actor_loss has shape \(\)$",
    ),
    "a metric with its graph": (
        in_critic_step("pass", 'metrics["q"] = state.networks["critic"]["b2"].requires_grad_().flatten(1).mean(-1)'),
        "^update_critic: metric q still carries its graph: detach it$",
    ),
    "no metrics": (
        [("updates.actor_step(actor_loss)", "lambda *_: None")],
        r"update_actor must return its metrics, a dictionary \(\{\} for none\), got NoneType$",
    ),
    "an error": (
        [(Q, f"    1 / 0\n{Q}")],
        r"update_actor: mine\.py line 5\d: ZeroDivisionError: division by zero$",
    ),
    "a loss for all members": (
        [("data_log_prob(nets, batch).mean(-1)", "data_log_prob(nets, batch).mean()")],
        "update_supervised must return one number per member.*: actor_loss has shape",
    ),
    "numbers that are none": (
        [("clone_loss(nets, batch)[0] - hyper", "clone_loss(nets, batch)[0] * torch.nan - hyper")],
        "^update_actor: metric actor_loss is not finite after one step$",
    ),
    "a step that is counted twice": (
        following("state.step += 1"),
        "^update_target counts a step: only the engine does$",
    ),
    "a batch that is overwritten": (
        [(Q, f"    batch.reward.zero_()\n{Q}")],
        "^update_actor overwrites its batch or its noise$",
    ),
    "a number in the state": (
        following("state.networks['count'] = {'n': 1.0}"),
        "^the state cannot be saved: networks.count.n is no tensor$",
    ),
    "a memory outside the state": (
        following("seen.append(1)", "state.networks['target_critic']['b2'].mul_(1 + 0.01 * len(seen))"),
        "goes on differently from a checkpoint: something that training changes is not in State$",
    ),
    "actions out of range": (
        acting("(2 * networks.actor_action(nets, s, noise)[0], networks.actor_action(nets, s, noise)[1])"),
        r"^act gives an action outside \[-1, 1\]",
    ),
    "noise that is ignored": (acting("networks.actor_action(nets, s)"), "^act ignores noise, but POLICY is gaussian"),
    "noise that is heeded": ([('"gaussian"', '"deterministic"')], "^act heeds noise, but POLICY is deterministic"),
    "no log_prob": (
        acting("networks.actor_action(nets, s, noise)[0]"),
        r"act must return \(action, log_prob\), got Tensor$",
    ),
    "a member that acts for all": (
        acting("tuple(v.mean(0, keepdim=True).expand_as(v) for v in networks.actor_action(nets, s, noise))"),
        "^act gives a member another action alone than beside others$",
    ),
    "values of the ensemble": (
        valuing("lambda nets, s, a: nn.critic(nets['critic'], s, a)"),
        r"q_value must return one value for each of \(P, B\) = \(2, 40\), got shape \(2, 2, 40\)$",
    ),
    "values of states": (
        valuing("lambda nets, s, a: networks.q_min(nets, s, 0 * a)"),
        "^q_value ignores the action$",
    ),
    "a critic that is hidden": (valuing("None"), "^q_value is None, but there is a network critic"),
    "several steps that are one": (
        [
            (
                "return multi_step.bootstrap(batch, value, hyper)",
                "return batch.reward + hyper.discount.unsqueeze(-1) * ~batch.terminated * value(batch.next)",
            )
        ],
        "^n_steps is a setting that nothing reads",
    ),
    "a setting read as one number": (
        [(Q, f"    assert hyper.alpha > 1\n{Q}")],
        r"update_actor: mine\.py line \d+: RuntimeError: Boolean value of Tensor",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(fault, tmp_path):
    edits, line = FAULTS[fault]
    lines = broken_clauses(written(tmp_path, edited(TEMPLATE, *edits)))
    assert [text for text in lines if re.search(line, text)], f"{fault}: not said in {lines}"
    assert not [text for text in lines if "\n" in text], "a line for each clause"


DISCRETE_FAULTS = {
    "a forbidden action": (
        "def act(networks, observation, noise=None, mask=None):\n"
        "    return discrete_bc.act(networks, observation, noise)",
        "^act takes an action that mask forbids$",
    ),
    "no mask": (
        "def act(networks, observation, noise=None):\n    return discrete_bc.act(networks, observation, noise)",
        r"^act must take \(networks, observation, noise=None, mask=None\)$",
    ),
    "another rate": (
        "def act(networks, observation, noise=None, mask=None):\n"
        "    noise = None if noise is None else 0 * noise + 0.5\n"
        "    return discrete_bc.act(networks, observation, noise, mask)",
        "^act draws actions at other rates than their log_prob says$",
    ),
    "too probable": (
        "def act(networks, observation, noise=None, mask=None):\n"
        "    action, _ = discrete_bc.act(networks, observation, noise, mask)\n"
        "    return action, torch.zeros(action.shape)",
        "^act gives probabilities that add up to more than 1$",
    ),
    "numbers of another type": (
        "def act(networks, observation, noise=None, mask=None):\n"
        "    action, log_prob = discrete_bc.act(networks, observation, noise, mask)\n"
        "    return action.float(), log_prob",
        r"act must return discrete actions as int64, got torch.float32$",
    ),
}


@pytest.mark.parametrize("fault", DISCRETE_FAULTS)
def test_a_planted_fault_of_a_discrete_policy_is_named(fault, tmp_path):
    code, line = DISCRETE_FAULTS[fault]
    text = edited(DISCRETE, ("import act, draw", "import draw"), ("q_value = None", f"q_value = None\n\n\n{code}"))
    lines = broken_clauses(written(tmp_path, text))
    assert [found for found in lines if re.search(line, found)], f"{fault}: not said in {lines}"


def test_all_that_is_broken_is_said_at_once(tmp_path):
    text = edited(
        TEMPLATE,
        ("updates.actor_step(actor_loss)", "lambda *_: {}"),
        *valuing("None"),
    )
    with pytest.raises(BrokenContractError) as caught:
        check_algorithm(written(tmp_path, text))
    assert isinstance(caught.value, AssertionError)
    assert len(caught.value.lines) == 2
    head, *lines = str(caught.value).splitlines()
    assert head == "mine.py does not keep the contract:"
    assert lines == [f"- {line}" for line in caught.value.lines]


def test_what_cannot_be_imported_is_one_line(tmp_path):
    for text, line in (
        ("import nowhere_at_all\n", r"^mine\.py line 1: ModuleNotFoundError: No module named 'nowhere_at_all'$"),
        ("x = (\n", r"^mine\.py line 1: SyntaxError"),
        ("raise SystemExit(3)\n", r"^mine\.py line 1: SystemExit: 3$"),
    ):
        with pytest.raises(ConfigError, match=line):
            check_algorithm(written(tmp_path, text))
    changing = edited(TEMPLATE, ("frozen=True, ", ""))  # Python itself refuses such a class
    with pytest.raises(ConfigError, match=r"^mine\.py line \d+: TypeError: cannot inherit non-frozen dataclass"):
        check_algorithm(written(tmp_path, changing))
    with pytest.raises(ConfigError, match="no such file"):
        check_algorithm(tmp_path / "absent.py")
    with pytest.raises(ConfigError, match="unknown algorithm 'cqll'; did you mean cql"):
        check_algorithm("cqll")


def test_the_command_line_lists_what_is_broken(tmp_path, capsys):
    good, bad = written(tmp_path, TEMPLATE), written(tmp_path, edited(TEMPLATE, ('"gaussian"', '"normal"')), "bad.py")
    assert __main__.main([str(good)]) == 0
    assert "keeps the contract" in capsys.readouterr().out
    assert __main__.main([str(good), str(bad)]) == 1
    assert f"{bad}: POLICY must be one of" in capsys.readouterr().out
    assert __main__.main([str(tmp_path / "absent.py")]) == 2
    assert "absent.py: no such file" in capsys.readouterr().err
