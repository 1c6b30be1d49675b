"""Conservative Peng's Q(lambda) (CPQL: Kim & Oh 2026, arXiv 2605.14779): CQL with targets over five logged steps.

Values come from the log's own rewards over several steps, so they arrive in a fraction of the gradient steps. Off the
policy such targets lean towards the behaviour's value, which is conservative by itself, so alpha can be much smaller
where the log is diverse. The defaults are those of the authors' code (``TrainConfig`` in ``algorithms/cpql.py``); the
presets ``cpql-...`` have its alpha and trace by the quality of the data. ``shared/multi_step.py`` has the target, and
says where the authors' code differs.
"""

from dataclasses import dataclass

from prudent.algorithms import cql
from prudent.algorithms.shared.settings import own_last

TITLE, POLICY, NEEDS = "CPQL", "gaussian", ()


@own_last
@dataclass(frozen=True, kw_only=True)
class Config(cql.Config):
    """The settings of CQL, some of them with other defaults. Members may differ in float fields."""

    # With their traces in the authors' configurations: halfcheetah-medium 0.1 and 0, -medium-replay 0.1 and 0.3,
    # -medium-expert 10 and 0.1; hopper-medium 0.1 and 0.7, -medium-replay 0.5 and 0.1, -medium-expert 5 and 0.1;
    # walker2d-medium 1 and 0.5, -medium-replay 1 and 0.7, -medium-expert 1 and 0.9.
    alpha: float = 10.0  # weight of the conservative gap, in units of the values: published 0.1 to 10, tune it first
    n_steps: int = 5  # logged steps in the critics' target: values then come sooner, nearer to the behaviour's
    trace: float = 0.7  # Peng's lambda with n_steps above 1: 1 the n-step return, 0 the one-step target
    actor_lr: float = 3e-5  # Adam learning rate of the actor
    temperature_lr: float = 3e-5  # learning rate of log tau
    hidden: tuple[int, ...] = (256, 256, 256)  # widths of the hidden layers of every network


init, draw = cql.init, cql.draw
update_critic, update_actor, update_target = cql.update_critic, cql.update_actor, cql.update_target
update_supervised = cql.update_supervised
act, q_value = cql.act, cql.q_value
