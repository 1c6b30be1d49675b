""":func:`value` (``prudent.value``): evaluates several policies on one log and compares them.

One :class:`prudent.ope.Evaluator` estimates all of them: the policy, its rivals and the behaviour policy. So every
difference is paired. The result, with its sentences, is a :class:`prudent.ope.result.ValueResult`.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from prudent import ope
from prudent.config import check_names
from prudent.data import Dataset, outcomes, target_prob
from prudent.engine.members import settings_of
from prudent.engine.population import Population
from prudent.errors import ConfigError
from prudent.ope import given, logged, one_step
from prudent.ope import policy as policies
from prudent.ope.episodes import check_rewards
from prudent.ope.policy import Policy
from prudent.ope.result import PolicyValue, ValueResult


def value(
    agent: Any,
    dataset: Dataset,
    *,
    compare: Mapping[str, Any] | None = None,
    member: str | None = None,
    discount: float | None = None,
    names: Sequence[str] | None = None,
    seen: bool | Dataset | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
    **settings: Any,
) -> ValueResult:
    """Estimate the value of a policy from a log, and compare it with other policies and with the behaviour policy.

    Args:
        agent: a population, an agent that holds one, a :data:`prudent.ope.Policy`, a plain function as in
            :mod:`prudent.ope.given`, or ``"target_prob"``: the policy whose probabilities the log has under that name.
        dataset: episodes in order of time, preferably ones that no policy was trained on.
        compare: other agents, by name (``{"BC": bc}``).
        member: name of the member of ``agent`` to evaluate; None takes, for each setting, the first seed that has not
            diverged.
        discount: gamma; None takes that of ``agent``. A log of single decisions (:mod:`prudent.ope.one_step`) has none.
        names: (S,) names of the observation features, for functions that take columns by name; None takes the columns
            of the table that the dataset comes from.
        seen: whether ``agent`` was trained on these episodes, or the dataset it was trained on (its episodes are then
            looked for in this one); None if unknown. It changes the sentences and whether the result is firm.
        seed: equal seeds give equal figures.
        say: called with each line of progress.
        settings: fields of :class:`prudent.ope.Settings`.

    Returns:
        Every estimate, the differences, and both in sentences.

    Raises:
        ConfigError: a policy has other spaces than the data or is not fitted, a given one returns what is no decision
            (see :func:`prudent.ope.given.check`), all policies have diverged, members differ in their discount, the
            discount is 1 and some episodes do not terminate, or a setting is out of range.
        DataError: there are too few episodes, rows are not in order of time, all rewards are the same, or the log's own
            probabilities are not probabilities.
    """
    check_names(ope.Settings, settings)
    estimation, report = ope.Settings(**settings), say or (lambda _: None)
    agents, remarks, known = {"": agent, **(compare or {})}, outcomes.warnings(dataset), dataset
    dataset = one_step.ended(dataset)
    if any(_is_logged(some) for some in agents.values()):
        of_log = logged.of(dataset)
        dataset, remarks = of_log.dataset, [*remarks, *([of_log.remark] if of_log.remark else [])]
        agents = {name: of_log.policy if _is_logged(some) else some for name, some in agents.items()}
    agents = {name: _with_functions(given_agent, dataset, names) for name, given_agent in agents.items()}
    groups = {name: _seed_groups(some, None if name else member) for name, some in agents.items()}
    for name, seed_groups in groups.items():
        policy = policies.as_policy(seed_groups[0].members[0])
        policies.check(replace(policy, name=f"{name}, {policy.name}") if name else policy, dataset)
    check_rewards(dataset)
    if "folds" not in settings:
        estimation = estimation.for_log(dataset)
    for some in agents.values():
        given.check(some, dataset)
    if one_step.is_one_step(dataset):
        if settings.get("n_bootstrap"):
            raise ConfigError(
                "n_bootstrap: every episode is one decision, whose intervals need no refits: leave it out, or give 0"
            )
        log = one_step.OneStepEvaluator(dataset, estimation, seed)
        estimation = log.settings
    else:
        gamma = _discount(groups[""]) if discount is None else discount
        log = ope.Evaluator(dataset, gamma, estimation, seed)
    report(f"{dataset.name}: {len(log.episodes)} episodes; the behaviour model is fitted")
    values, skipped = _evaluate(log, groups, report)
    if not any(v.run == "" for v in values):
        raise ConfigError(f"no policy is left to evaluate: {'; '.join(skipped)}")
    seen_any, shared = _seen(known, seen)
    return ValueResult(
        known.name,
        known.fingerprint,
        seen_any,
        shared,
        seed,
        estimation,
        tuple(values),
        tuple(skipped),
        tuple(remarks),
        outcomes.dropped_reward(known) is not None,
    )


def _is_logged(agent: Any) -> bool:
    return isinstance(agent, str) and agent == target_prob.KEY


def _with_functions(agent: Any, dataset: Dataset, names: Sequence[str] | None) -> Any:
    """A plain function as a policy for the log; everything else as it is, with errors of given policies in one line."""
    if isinstance(agent, Policy):
        return given.guarded(agent)
    if isinstance(agent, Population) or hasattr(agent, "population") or not callable(agent):
        return agent
    return given.policy_of(agent, dataset.spec, names=names, encoding=dataset.meanings.encoding)


def _seen(dataset: Dataset, seen: bool | Dataset | None) -> tuple[bool | None, int | None]:
    """Whether a policy was trained on any of these episodes, and on how many; None if unknown."""
    if isinstance(seen, Dataset):
        shared = shared_episodes(dataset, seen)
        return shared > 0, shared
    return seen, None if seen is None else dataset.n_episodes if seen else 0


def shared_episodes(dataset: Dataset, other: Dataset) -> int:
    """How many episodes of a dataset the other one has too, by their observations, actions and rewards."""
    known = set(_digests(other))
    return sum(digest in known for digest in _digests(dataset))


def _digests(dataset: Dataset) -> Iterator[bytes]:
    """A digest of each episode's observations, actions and rewards, as float32."""
    for begin, end in pairwise(dataset.episode_bounds):
        digest = hashlib.sha256()
        for column in (dataset.observation, dataset.action, dataset.reward):
            part = np.ascontiguousarray(column[begin:end], dtype=np.float32)
            digest.update(str(part.shape).encode())
            digest.update(part.data)
        yield digest.digest()


@dataclass(frozen=True)
class _SeedGroup:
    """Members that differ only in their seed, of which the first sound one is evaluated.

    ``seeds`` counts the members with this setting, which are more than ``members`` if one was named.
    """

    members: list[Any]
    seeds: int


def _seed_groups(agent: Any, member: str | None) -> list[_SeedGroup]:
    policy = policies.as_policy(agent)  # raises for anything that is not a policy
    if isinstance(agent, Policy):
        return [_SeedGroup([policy], 1)]
    population: Population = getattr(agent, "population", agent)
    if member is not None and member not in population.names:
        raise ConfigError(f"there is no member {member}: the members are {', '.join(population.names)}")
    groups = settings_of(population.names).values()
    if member is not None:
        index = population.names.index(member)
        return [_SeedGroup([population.member(index)], len(group)) for group in groups if index in group]
    return [_SeedGroup([population.member(i) for i in group], len(group)) for group in groups]


def _discount(groups: list[_SeedGroup]) -> float:
    discounts = {policies.as_policy(member).discount for group in groups for member in group.members}
    known = [discount for discount in discounts if discount is not None]
    if len(discounts) > 1:
        raise ConfigError("the members differ in their discount, so their values cannot be compared: give one")
    if not known:
        raise ConfigError("the policy has no discount of its own: give one")
    return known[0]


def _evaluate(
    log: ope.Evaluator, groups: Mapping[str, list[_SeedGroup]], report: Callable[[str], None]
) -> tuple[list[PolicyValue], list[str]]:
    """The value of the first sound member of every group, and why others were skipped."""
    queue = [(name, group) for name, seed_groups in groups.items() for group in seed_groups]
    values, skipped, began = [], [], time.monotonic()
    for number, (name, group) in enumerate(queue, 1):
        policy_value, errors = _first_sound(log, name, group)
        skipped += errors
        if policy_value is not None:
            values.append(policy_value)
            left = timedelta(seconds=round((time.monotonic() - began) / number * (len(queue) - number)))
            # The first one also learns the features, so it says nothing about the others.
            time_left = "" if number == 1 else f"  {left} left"
            report(f"{number}/{len(queue)}  {policy_value.title}: {policy_value.estimates.leading}{time_left}")
    return values, skipped


def _first_sound(log: ope.Evaluator, run: str, group: _SeedGroup) -> tuple[PolicyValue | None, list[str]]:
    """The value of the first member that has not diverged, and the errors of those before it."""
    errors = []
    for member in group.members:
        try:
            estimates = log.evaluate(member)
        except ConfigError as error:  # spaces have been checked: it has diverged
            errors.append(str(error) if run == "" else f"{run}, {error}")
            continue
        algorithm = "" if isinstance(member, Policy) else member.algorithm.TITLE
        return PolicyValue(run, algorithm, estimates, _predicted(member, log), group.seeds), errors
    return None, errors


def _predicted(member: Any, log: ope.Evaluator) -> np.ndarray | None:
    """Values that the member's own critics predict at the start states, in raw reward units, (episodes,).

    None without critics, or if they were trained with another discount or with shifted rewards.
    """
    if isinstance(member, Policy):
        return None
    if member.discount[0] != log.episodes.discount or member.reward_shift[0] != 0:
        return None
    data, first = log.episodes.dataset, log.episodes.first
    generator, parts = torch.Generator().manual_seed(log.seed), []
    for part in policies.slices(len(first)):
        rows = first[part]
        mask = data.extra["mask"][rows][np.newaxis] if "mask" in data.extra else None
        predicted = member.predicted_value(data.observation[rows][np.newaxis], generator, mask)
        if predicted is None:
            return None
        parts.append(predicted[0] / member.reward_scale[0])
    return np.concatenate(parts)
