"""The contract test for everybody: whether a module may be an algorithm."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from prudent import algorithms
from prudent.algorithms import Given
from prudent.algorithms.own import registry
from prudent.algorithms.own.contract import broken
from prudent.errors import PrudentError
from prudent.testing import acting, saving, settings, updates
from prudent.testing.problem import Problem
from prudent.user_code import importing
from prudent.user_code.raised import reason, where

Clause = Callable[[Problem], Iterator[str]]

CLAUSES: tuple[Clause, ...] = (
    settings.comments,
    settings.json,
    settings.start,
    settings.noise,
    updates.parts,
    updates.learning,
    updates.repeatable,
    updates.independent,
    updates.gradients,
    updates.first_values,
    updates.several_steps,
    acting.acts,
    acting.acts_alone,
    acting.values,
    saving.saves,
)
"""Each yields a line for whatever breaks it."""

_ON_TRIAL = "algorithm_on_trial"


class BrokenContractError(AssertionError):
    """An algorithm does not keep the contract; ``lines`` say where."""

    def __init__(self, title: str, lines: list[str]):
        super().__init__(f"{title} does not keep the contract:\n" + "\n".join(f"- {line}" for line in lines))
        self.lines = lines


def check_algorithm(algorithm: Given) -> None:
    """Run the contract test on an algorithm: the path of its file, its module, or its name.

    It is tried on a small log of its kind of actions, for a second or two: what it exports, shapes, that members do not
    mix, that a step can be repeated, that no gradient flows into targets, that a checkpoint holds all of it.

    Raises:
        BrokenContractError: it breaks clauses of the contract in :mod:`prudent.algorithms`; a line for each.
        ConfigError: there is no such algorithm, or importing it failed.
    """
    title, module = _found(algorithm)
    lines = _broken_clauses(title, module)
    if lines:
        raise BrokenContractError(title, lines)


def broken_clauses(algorithm: Given) -> list[str]:
    """The lines of :func:`check_algorithm`; empty if the algorithm keeps the contract.

    Raises:
        ConfigError: there is no such algorithm, or importing it failed.
    """
    return _broken_clauses(*_found(algorithm))


def _found(algorithm: Given) -> tuple[str, ModuleType]:
    """What to call it, and its module, as it was written."""
    if isinstance(algorithm, ModuleType):
        importing.check_imported(algorithm)
        return Path(str(getattr(algorithm, "__file__", None) or algorithm.__name__)).name, algorithm
    if isinstance(algorithm, str) and not algorithms.is_file(algorithm):
        return algorithm, algorithms.get(algorithm)
    path = Path(algorithm).expanduser()
    return path.name, importing.file(path)[0]


def _broken_clauses(title: str, module: ModuleType) -> list[str]:
    lines = broken(module)
    if lines:
        return lines
    with registry.on_trial(module, _ON_TRIAL, title), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = Problem(_ON_TRIAL, algorithms.get(_ON_TRIAL))
        for clause in CLAUSES:
            lines += _lines_of(clause, problem, module)
    return list(dict.fromkeys(lines))


def _lines_of(clause: Clause, problem: Problem, module: ModuleType) -> list[str]:
    """What breaks a clause. Whatever is raised breaks it too."""
    lines: list[str] = []
    try:
        lines.extend(clause(problem))
    except PrudentError as error:
        lines.append(str(error))
    except Exception as error:  # noqa: BLE001 - the algorithm may make the engine raise anything
        said = (inspect.getdoc(clause) or "").splitlines()[0].rstrip(".")
        lines.append(f"{where(error, file=str(module.__file__ or ''))}{reason(error)} (while checking: {said})")
    return lines
