"""What policies are worth, from a log alone, side by side: :func:`value`.

One :class:`prudent.ope.Evaluator` weighs all of them, the policy, those it is compared with and what made the log, so
that every difference is paired. What comes out says it in words and in figures, and why where there is no figure.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from prudent import ope
from prudent.data import Dataset
from prudent.engine.members import settings_of
from prudent.engine.population import Population
from prudent.errors import ConfigError
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
    seen: bool | Dataset | None = None,
    seed: int = 0,
    told: Callable[[str], None] | None = None,
    **settings: Any,
) -> ValueResult:
    """What a policy is worth by a log, beside others and beside what made the log.

    Args:
        agent: a population, an agent that holds one, or a :data:`prudent.ope.Policy`.
        dataset: episodes in order of time, better those that nobody learned from.
        compare: agents to hold it against, by name (``{"BC": bc}``).
        member: the member of ``agent`` to weigh; None takes the first seed of each setting that has not diverged.
        discount: gamma; None takes that of ``agent``.
        seen: whether ``agent`` learned from these episodes, or what it learned from, of which none of these should be;
            None where that is not known. It changes the words, and whether the verdict is firm.
        seed: equal seeds give equal figures.
        told: called with a line of text about what is being done.
        settings: fields of :class:`prudent.ope.Settings`.

    Returns:
        Every estimate, the differences, and all of it in words.

    Raises:
        ConfigError: a policy is for other spaces or not fitted, all have diverged, members differ in their discount, or
            it is 1 where episodes do not terminate; a setting is out of its range.
        DataError: too few episodes, rows in no order, rewards that are all the same, or logged probabilities that are
            none.
    """
    asked, say = ope.Settings(**settings), told or (lambda _: None)
    groups = {"": _settings(agent, member)} | {name: _settings(other, None) for name, other in (compare or {}).items()}
    for name, group in groups.items():
        policy = policies.as_policy(group[0].policies[0])
        policies.check(replace(policy, name=f"{name}, {policy.name}") if name else policy, dataset)
    check_rewards(dataset)
    gamma = _discount(groups[""]) if discount is None else discount
    log = ope.Evaluator(dataset, gamma, asked, seed)
    say(f"{dataset.name}: {len(log.episodes)} episodes, and a model of what made them")
    wanted = [(name, setting) for name, group in groups.items() for setting in group]
    found, skipped, began = [], [], time.monotonic()
    for number, (name, setting) in enumerate(wanted, 1):
        weighed, lost = _first_sound(log, name, setting)
        skipped += lost
        if weighed is not None:
            found.append(weighed)
            left = timedelta(seconds=round((time.monotonic() - began) / number * (len(wanted) - number)))
            say(f"{number}/{len(wanted)}  {weighed.title}: {weighed.found.fqe}  {left} left")
    if not any(weighed.run == "" for weighed in found):
        raise ConfigError(f"there is no policy left to weigh: {'; '.join(skipped)}")
    return ValueResult(
        dataset.name, dataset.fingerprint, *_seen(dataset, seen), seed, asked, tuple(found), tuple(skipped)
    )


def _seen(dataset: Dataset, seen: bool | Dataset | None) -> tuple[bool | None, int | None]:
    """Whether a policy learned from any of these episodes, and from how many; None where that is not known."""
    if isinstance(seen, Dataset):
        known = set(_digests(seen))
        shared = sum(digest in known for digest in _digests(dataset))
        return shared > 0, shared
    return seen, None if seen is None else dataset.n_episodes if seen else 0


def _digests(dataset: Dataset) -> Iterator[bytes]:
    """One for each episode: equal where its observations, actions and rewards are, as float32."""
    for begin, end in pairwise(dataset.episode_bounds):
        digest = hashlib.sha256()
        for column in (dataset.observation, dataset.action, dataset.reward):
            part = np.ascontiguousarray(column[begin:end], dtype=np.float32)
            digest.update(str(part.shape).encode())
            digest.update(part.data)
        yield digest.digest()


@dataclass(frozen=True)
class _Setting:
    """Policies that differ in their seed alone, of which the first sound one is weighed, and how many there are."""

    policies: list[Any]
    seeds: int


def _settings(agent: Any, member: str | None) -> list[_Setting]:
    first = policies.as_policy(agent)  # says what is wrong with something that is none
    if isinstance(agent, Policy):
        return [_Setting([first], 1)]
    population: Population = getattr(agent, "population", agent)
    if member is not None and member not in population.names:
        raise ConfigError(f"there is no member {member}: the members are {', '.join(population.names)}")
    groups = settings_of(population.names).values()
    if member is not None:
        index = population.names.index(member)
        return [_Setting([population.member(index)], len(group)) for group in groups if index in group]
    return [_Setting([population.member(i) for i in group], len(group)) for group in groups]


def _discount(settings: list[_Setting]) -> float:
    found = {policies.as_policy(one).discount for setting in settings for one in setting.policies}
    known = [discount for discount in found if discount is not None]
    if len(found) > 1 or not known:
        why = "the members differ in their discount" if len(found) > 1 else "the policy has no discount of its own"
        raise ConfigError(f"{why}, and values of different ones do not compare: give one")
    return known[0]


def _first_sound(log: ope.Evaluator, run: str, setting: _Setting) -> tuple[PolicyValue | None, list[str]]:
    """The first seed of a setting that has not diverged, weighed, and what is to be said of those before it."""
    lost = []
    for one in setting.policies:
        try:
            found = log.evaluate(one)
        except ConfigError as error:  # spaces are checked: what is left is divergence
            lost.append(str(error) if run == "" else f"{run}, {error}")
            continue
        algorithm = "" if isinstance(one, Policy) else one.algorithm.TITLE
        return PolicyValue(run, algorithm, found, _predicted(one, log), setting.seeds), lost
    return None, lost


def _predicted(one: Any, log: ope.Evaluator) -> np.ndarray | None:
    """What the critics promise at each start state in raw reward units, (episodes,).

    None without critics, or with such that value another discount or shifted rewards.
    """
    if isinstance(one, Policy) or one.discount[0] != np.float32(log.episodes.discount) or one.reward_shift[0] != 0:
        return None
    data, first = log.episodes.dataset, log.episodes.first
    generator, parts = torch.Generator().manual_seed(log.seed), []
    for own in policies.slices(len(first)):
        mask = data.extra["mask"][first[own]][np.newaxis] if "mask" in data.extra else None
        found = one.predicted_value(data.observation[first[own]][np.newaxis], generator, mask)
        if found is None:
            return None
        parts.append(found[0] / one.reward_scale[0])
    return np.concatenate(parts)
