"""Policies that are given: a plain function as a policy, and the checks of what such a policy returns.

A function takes observations (R, S) in the units of the log and, if it has a second argument, the mask (R, A) bool or
None. If its first argument is called ``columns``, it gets the columns of the log's table by name instead, each (R,);
categories are texts. For discrete actions it returns their numbers or labels (R,) as the log has them, or probabilities
(R, A). For continuous actions it returns actions (R, A), or (R,) if there is one action feature.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prudent.data import Dataset
from prudent.data.columns import counted
from prudent.data.encoding import Column, Encoding, listed
from prudent.errors import ConfigError, PrudentError, shown
from prudent.ope import policy as policies
from prudent.ope.columns import Columns
from prudent.ope.policy import ContinuousPolicy, DiscretePolicy, Policy
from prudent.types import Spec
from prudent.user_code.raised import one_line

SUM = 1e-3
"""How far the probabilities of a row may be from a sum of 1."""
FORBIDDEN = 1e-6
"""Probability from which on an action that the mask forbids counts as chosen."""


class WrongAnswerError(ConfigError):
    """A policy returned something that is no decision; ``row`` is the row of its input where it is known."""

    def __init__(self, name: str, problem: str, row: int | None = None):
        super().__init__(f"{name} {problem}" + ("" if row is None else f", the first is row {row} of its input"))
        self.name, self.problem, self.row = name, problem, row


def policy_of(
    function: Callable[..., Any],
    spec: Spec,
    name: str | None = None,
    names: Sequence[str] | None = None,
    encoding: Encoding | None = None,
) -> Policy:
    """A plain function as a policy for the spaces ``spec``.

    Args:
        function: see the top of this file.
        name: how messages and tables call it; None takes the function's own name.
        names: (S,) names of the observation features, for functions that take columns; each feature is then a column.
        encoding: what columns and actions are called in the log, where ``names`` are not given.

    Raises:
        ConfigError: it is not callable, takes other arguments, or wants names that are not known.
    """
    title = name or getattr(function, "__name__", type(function).__name__)
    if names is not None:
        encoding = replace(encoding or Encoding(()), columns=tuple(Column(text) for text in names))
    encoding = encoding or Encoding(())
    ask = _Question(function, title, encoding, *_arguments(function, spec, title, encoding))
    if spec.discrete:
        return DiscretePolicy(
            spec, lambda observation, mask: _table(ask(observation, mask), spec, title, encoding), title
        )
    return ContinuousPolicy(spec, lambda observation, _: _actions(ask(observation, None), spec), None, title)


@dataclass(frozen=True)
class _Question:
    """Calls a function, and turns what goes wrong in there into one line; ``named`` passes columns by name."""

    function: Callable[..., Any]
    title: str
    encoding: Encoding
    named: bool
    masked: bool

    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        # Copies: a function that works in place must not change the log.
        first: Any = observation.copy()
        if self.named:
            first = Columns(self.encoding.cells(observation))
        with one_line(self.title, self.function):
            answer = (
                self.function(first, None if mask is None else mask.copy()) if self.masked else self.function(first)
            )
            values = np.asarray(answer)
        if values.dtype.kind in "UO" and values.ndim == 1 and all(isinstance(text, str) for text in values):
            return self._numbers(values)
        if values.dtype.kind not in "fiub":
            raise WrongAnswerError(self.title, f"returns {_kind(answer, values)}, not numbers")
        return values.astype(np.int64) if values.dtype.kind == "b" else values

    def _numbers(self, texts: np.ndarray) -> np.ndarray:
        """The numbers of actions (R,) from their labels."""
        labels = self.encoding.labels
        if labels is None:
            raise WrongAnswerError(self.title, "returns texts, not numbers: the actions of the log have no labels")
        places = Column("action", "index", labels).places(texts)
        odd = [row for row, place in enumerate(places) if place is None]
        if odd:
            raise WrongAnswerError(
                self.title,
                f"takes actions that are none of the action_labels ({listed(labels)}) in {counted(len(odd), 'row')} "
                f"(such as {shown(str(texts[odd[0]]))})",
                odd[0],
            )
        return np.array(places, dtype=np.int64)


def guarded(policy: Policy) -> Policy:
    """A policy that is written by hand, with errors of its functions in one line; others unchanged."""

    def guard(function: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            with one_line(policy.name, function, PrudentError):
                return function(*arguments)

        return ask

    if isinstance(policy, DiscretePolicy):
        return replace(policy, probability=guard(policy.probability))
    if isinstance(policy, ContinuousPolicy):
        log_prob = None if policy.log_prob is None else guard(policy.log_prob)
        return replace(policy, draw=guard(policy.draw), log_prob=log_prob)
    return policy


def _kind(answer: Any, values: np.ndarray) -> str:
    return type(answer).__name__ if values.ndim == 0 else f"an array of {values.dtype}"


def _arguments(function: Any, spec: Spec, title: str, encoding: Encoding) -> tuple[bool, bool]:
    """Whether a function wants columns by name instead of the observation, and whether it takes a mask."""
    if not callable(function) or inspect.isclass(function):
        what = "a class: give a function, or an object of it" if inspect.isclass(function) else "not a function"
        raise ConfigError(f"{title} is {what}")
    if inspect.iscoroutinefunction(function):
        raise ConfigError(f"{title} is an async function: give a plain one")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some functions written in C do not say
        return False, False
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in plain if p.default is p.empty]
    lacking = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(needed) > 2 or lacking or not (plain or several):
        has = ", ".join(p.name for p in parameters) or "none"
        raise ConfigError(f"{title} has the arguments {has}: a policy takes the observation and, if it wants, the mask")
    # A second argument with a default is a setting of the function, unless it is called mask.
    masked = len(needed) > 1 or (len(plain) > 1 and plain[1].name == "mask")
    if not plain or plain[0].name != "columns":
        return False, masked
    if len(encoding.features) != spec.observation_size:
        raise ConfigError(
            f"{title} takes columns by name, and the log has no names: give a mapping, or take observation"
        )
    return True, masked


def _table(values: np.ndarray, spec: Spec, title: str, encoding: Encoding) -> np.ndarray:
    """Probabilities (R, A) from action numbers (R,) or probabilities."""
    if values.ndim != 1:
        return values
    if values.dtype.kind == "f":
        odd = np.flatnonzero(~(np.isfinite(values) & (values == np.floor(values))))
        if len(odd):
            raise WrongAnswerError(
                title, f"gives actions that are no whole numbers in {counted(len(odd), 'row')}", int(odd[0])
            )
    whole = values.clip(-(2.0**53), 2.0**53) if values.dtype.kind == "f" else values
    index = spec.index_of(whole.astype(np.int64))
    odd = np.flatnonzero((index < 0) | (index >= spec.action_size))
    if len(odd):
        raise WrongAnswerError(
            title,
            f"takes actions that are not {spec.first_action} to {spec.last_action} in {counted(len(odd), 'row')} "
            f"(such as {values[odd[0]]:g}){encoding.label_advice}",
            int(odd[0]),
        )
    return (np.arange(spec.action_size) == index[:, None]).astype(np.float64)


def _actions(values: np.ndarray, spec: Spec) -> np.ndarray:
    """Actions (R, A) from actions (R, A) or (R,)."""
    return values[:, None] if values.ndim == 1 and spec.action_size == 1 else values


# --- checks -----------------------------------------------------------------------------------------------------------


def check(policy: Policy, dataset: Dataset) -> None:
    """Ask a policy for its decisions at every state of the log, and refuse what is no decision.

    Raises:
        ConfigError: a shape is wrong; probabilities are negative, above 1, do not sum to 1 or choose what a mask
            forbids; actions or log-densities are not numbers, or actions lie outside the declared bounds; two answers
            to one question differ.
    """
    if not isinstance(policy, DiscretePolicy | ContinuousPolicy):
        return
    policies.check(policy, dataset)
    if isinstance(policy, ContinuousPolicy):
        _check_density(policy, dataset)
    for column, mask_key, place in (
        (dataset.observation, "mask", "row"),
        (dataset.next_observation, "next_mask", "the state after row"),
    ):
        masks = dataset.extra.get(mask_key)
        for rows in policies.slices(len(column)):
            observation, mask = column[rows], None if masks is None else masks[rows]
            try:
                values = _checked(policy, observation, mask)
                if (rows.start == 0 and isinstance(policy, DiscretePolicy)) or _is_fixed(policy):
                    _same_again(policy, observation, mask, values)
            except WrongAnswerError as error:
                first = (
                    "" if error.row is None else f", the first is {place} {error.row + rows.start} of {dataset.name}"
                )
                raise ConfigError(f"{error.name} {error.problem}{first}") from error


def _check_density(policy: ContinuousPolicy, dataset: Dataset) -> None:
    if policy.log_prob is None:
        return
    for rows in policies.slices(len(dataset)):
        values = np.asarray(policy.log_prob(dataset.observation[rows], dataset.action[rows]))
        expected = dataset.action[rows].shape[:1]
        if values.shape != expected or values.dtype.kind not in "fiub":
            problem = f"gives log-densities of shape {values.shape} and type {values.dtype}"
            raise WrongAnswerError(policy.name, f"{problem}, expected {expected[0]} numbers")
        wrong = np.flatnonzero(np.isnan(values) | (values == np.inf))
        if len(wrong):
            problem = f"gives log-densities that are not numbers in {counted(len(wrong), 'row')}, the first is row"
            raise ConfigError(f"{policy.name} {problem} {wrong[0] + rows.start} of {dataset.name}")


def _is_fixed(policy: Policy) -> bool:
    """Whether a continuous policy takes one action per state: it has no density, so it must not draw."""
    return isinstance(policy, ContinuousPolicy) and policy.log_prob is None


def _checked(policy: DiscretePolicy | ContinuousPolicy, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    wanted = (len(observation), policy.spec.action_size)
    if isinstance(policy, DiscretePolicy):
        values, what = np.asarray(policy.probability(observation, mask)), "action numbers (R,) or probabilities (R, A)"
    else:
        import torch

        values, what = np.asarray(policy.draw(observation, torch.Generator().manual_seed(0))), "actions (R, A)"
    if values.shape != wanted:
        raise WrongAnswerError(
            policy.name,
            f"returns an array of shape {values.shape} for {counted(wanted[0], 'row')}, expected {what} with "
            f"R = {wanted[0]} and A = {wanted[1]}",
        )
    if values.dtype.kind not in "fiub":
        raise WrongAnswerError(policy.name, f"returns {_kind(values, values)}, not numbers")
    for problem, wrong_R in _problems(policy, values, mask).items():
        rows = np.flatnonzero(wrong_R)
        if len(rows):
            raise WrongAnswerError(policy.name, f"{problem} in {counted(len(rows), 'row')}", int(rows[0]))
    return values


def _problems(policy: Policy, values: np.ndarray, mask: np.ndarray | None) -> Mapping[str, Any]:
    """What may be wrong with the answers (R, A), and in which rows, (R,) bool; the first that applies is told."""
    spec = policy.spec
    if spec.discrete:
        total = values.sum(axis=1, dtype=np.float64)
        forbidden = np.zeros(len(values), dtype=bool) if mask is None else ((values > FORBIDDEN) & ~mask).any(axis=1)
        return {
            "gives probabilities that are not numbers": ~np.isfinite(values).all(axis=1),
            "gives negative probabilities": (values < 0).any(axis=1),
            "gives probabilities above 1": (values > 1 + SUM).any(axis=1),
            "gives probabilities that do not sum to 1": np.abs(total - 1) > SUM,
            "takes actions that the mask forbids": forbidden,
        }
    problems = {"takes actions that are not numbers": ~np.isfinite(values).all(axis=1)}
    if spec.action_low is not None and spec.action_high is not None:
        low, high = np.array(spec.action_low), np.array(spec.action_high)
        slack = 1e-5 * (high - low)
        outside = ((values < low - slack) | (values > high + slack)).any(axis=1)
        text = " ".join(f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        problems[f"takes actions outside the declared bounds ({text})"] = outside
    return problems


def _same_again(
    policy: DiscretePolicy | ContinuousPolicy, observation: np.ndarray, mask: np.ndarray | None, values: np.ndarray
) -> None:
    again, values = _checked(policy, observation, mask).astype(np.float64), values.astype(np.float64)
    differing = np.flatnonzero(np.abs(again - values).max(axis=1) > SUM * np.maximum(1, np.abs(values).max(axis=1)))
    if len(differing):
        remedy = (
            "return the probabilities of its actions"
            if isinstance(policy, DiscretePolicy)
            else "give an ope.ContinuousPolicy with its density"
        )
        raise WrongAnswerError(
            policy.name,
            f"answers differently when it is asked again, in {counted(len(differing), 'row')}: if it draws, {remedy}",
            int(differing[0]),
        )
