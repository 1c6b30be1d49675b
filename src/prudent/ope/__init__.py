"""Off-policy evaluation: estimates the value of a policy from a log alone.

>>> from prudent import ope
>>> value = ope.evaluate_policy(agent, held_out, member=0)      # -> OffPolicyValue
>>> print(value)                                                # each estimate with its interval, or why there is none
>>> value.fqe.value, value.fqe.interval, value.wdr.reason
>>> value.improvement["fqe"].interval                           # gain over the behaviour policy, paired
>>> value.summary()                                             # for JSON

For several policies on one log, prepare the log once. Their differences are then paired:

>>> log = ope.Evaluator(held_out, discount=0.99, settings=ope.QUICK)
>>> values = [log.evaluate(population, member=p) for p in range(population.size)]
>>> ope.difference(values[0].fqe, values[1].fqe)

The files, from the log to the answer:

- :mod:`~prudent.ope.settings`: :class:`Settings`, every setting of an estimate
- :mod:`~prudent.ope.policy`: the policy to evaluate; :func:`~prudent.ope.policy.as_policy` makes one from a population
- :mod:`~prudent.ope.columns`: the columns that a policy of the user's own gets
- :mod:`~prudent.ope.given`: a plain function as a policy, and the checks of policies that are given
- :mod:`~prudent.ope.logged`: a policy whose probabilities the log itself has
- :mod:`~prudent.ope.episodes`: checks the log; discounts, truncated episodes, groups
- :mod:`~prudent.ope.behaviour`: model of the behaviour policy, and which actions lie outside the data
- :mod:`~prudent.ope.calibration`: how good that model is
- :mod:`~prudent.ope.abstention`: when an estimator has no value
- :mod:`~prudent.ope.undiscounted`: the sum of rewards per episode as recorded
- :mod:`~prudent.ope.features`: features of states and actions, learned from the log once for all policies
- :mod:`~prudent.ope.last_layer`: the linear system that the values of a policy solve
- :mod:`~prudent.ope.fqe`: fitted Q evaluation (``fqe``)
- :mod:`~prudent.ope.critics`: all fits that the estimates of one policy need
- :mod:`~prudent.ope.importance`: importance weights, effective sample size, per-decision weighted importance sampling
  (``pdwis``)
- :mod:`~prudent.ope.doubly_robust`: weighted doubly robust (``wdr``)
- :mod:`~prudent.ope.interval`: :class:`Estimate`, one figure with its interval
- :mod:`~prudent.ope.evaluator`: runs all estimators of one policy: :class:`Evaluator`, :func:`evaluate_policy`
- :mod:`~prudent.ope.reward_model`: mean rewards of single decisions, by regression
- :mod:`~prudent.ope.one_step`: logs of single decisions (bandits): :class:`OneStepEvaluator`
- :mod:`~prudent.ope.misfit`: the error of a fit, and which gains it leaves standing
- :mod:`~prudent.ope.estimates`: :class:`OffPolicyValue`, what the evaluator returns for one policy
- :mod:`~prudent.ope.value`: :func:`prudent.value`, evaluates several policies and compares them
- :mod:`~prudent.ope.reservations`: why a favourable verdict is not firm
- :mod:`~prudent.ope.result`: ``ValueResult``, what :func:`prudent.value` returns, with its sentences

Values are in raw reward units, discounted, from the start states of the log. A truncated episode is taken to go on;
``undiscounted`` holds the sums of rewards as recorded. docs/trust.md reports how accurate each estimator is.
"""

from prudent.ope.estimates import OffPolicyValue, Support, support_text
from prudent.ope.evaluator import Evaluator, evaluate_policy
from prudent.ope.interval import Estimate, difference
from prudent.ope.one_step import OneStepEvaluator
from prudent.ope.policy import ContinuousPolicy, DiscretePolicy, LoggedPolicy, Policy
from prudent.ope.settings import QUICK, Settings

__all__ = [
    "QUICK",
    "ContinuousPolicy",
    "DiscretePolicy",
    "Estimate",
    "Evaluator",
    "LoggedPolicy",
    "OffPolicyValue",
    "OneStepEvaluator",
    "Policy",
    "Settings",
    "Support",
    "difference",
    "evaluate_policy",
    "support_text",
]
