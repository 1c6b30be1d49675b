"""Off-policy evaluation: what a policy is worth, from a log alone.

>>> from prudent import ope
>>> value = ope.evaluate_policy(agent, held_out, member=0)      # -> OffPolicyValue
>>> print(value)                                                # every estimator, its interval or why there is none
>>> value.fqe.value, value.fqe.interval, value.wdr.reason
>>> value.improvement["fqe"].interval                           # over the behaviour, paired
>>> value.summary()                                             # for JSON

Several policies on one log: :class:`Evaluator` prepares it once, and their differences are paired.

>>> log = ope.Evaluator(held_out, discount=0.99, settings=ope.QUICK)
>>> values = [log.evaluate(population, member=p) for p in range(population.size)]
>>> ope.difference(values[0].fqe, values[1].fqe)

Where things are:

- :mod:`~prudent.ope.policy`: what is evaluated; :func:`policy.of` makes it from a member of a population
- :mod:`~prudent.ope.episodes`: checks of the log; the convention for truncated episodes
- :mod:`~prudent.ope.behaviour`: model of who made the log, which actions lie outside the data
- :mod:`~prudent.ope.calibration`: how far to trust that model
- :mod:`~prudent.ope.fqe`: fitted Q evaluation (``fqe``)
- :mod:`~prudent.ope.importance`: weights, effective sample size, per-decision weighted importance sampling (``pdwis``)
- :mod:`~prudent.ope.doubly_robust`: weighted doubly robust (``wdr``)
- :mod:`~prudent.ope.interval`: :class:`Estimate` and the three kinds of interval
- :mod:`~prudent.ope.evaluator`: all of them together; :mod:`~prudent.ope.estimates`: what comes out, and its text
- :mod:`~prudent.ope.known`: problems with exact values, to hold estimators against

Values are in raw reward units: discounted from the log's start states, truncated episodes going on; ``undiscounted``
holds sums per episode as recorded. docs/trust.md says what was measured of each.
"""

from prudent.ope.estimates import OffPolicyValue, Support, support_told
from prudent.ope.evaluator import Evaluator, evaluate_policy
from prudent.ope.interval import Estimate, difference
from prudent.ope.policy import ContinuousPolicy, DiscretePolicy, Policy
from prudent.ope.settings import QUICK, Settings

__all__ = [
    "QUICK",
    "ContinuousPolicy",
    "DiscretePolicy",
    "Estimate",
    "Evaluator",
    "OffPolicyValue",
    "Policy",
    "Settings",
    "Support",
    "difference",
    "evaluate_policy",
    "support_told",
]
