"""A module of the user's with its functions guarded: what they raise, or return that is wrong, is one line.

The line names the user's file and, where something was raised, the line of it.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from prudent.algorithms.own.contract import SIGNATURES
from prudent.algorithms.shared.updates import State
from prudent.errors import ConfigError, PrudentError, is_out_of_memory
from prudent.user_code.raised import one_line

Check = Callable[[tuple[Any, ...], Any], str]
"""(arguments, what was returned) -> what is wrong with it, "" if nothing is."""


def guarded(module: Any, title: str, file: str) -> ModuleType:
    """The same algorithm; ``title`` begins its messages, ``file`` is the user's file."""
    copy = ModuleType(title)
    copy.__dict__.update({name: value for name, value in vars(module).items() if not name.startswith("__")})
    copy.__doc__ = module.__doc__
    for name in SIGNATURES:
        function = getattr(module, name, None)
        if function is not None:
            setattr(copy, name, _guarded(function, f"{title}: {name}", file, _CHECKS.get(name)))
    _guard_settings(copy.Config, f"{title}: Config", file)
    return copy


def _guarded(function: Callable[..., Any], title: str, file: str, check: Check | None) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            with one_line(title, None, PrudentError, _OutOfMemory, file=file):
                try:
                    result = function(*arguments, **named)
                except (RuntimeError, MemoryError) as error:
                    if is_out_of_memory(error):
                        raise _OutOfMemory from error
                    raise
        except _OutOfMemory as passed:
            raise (passed.__cause__ or passed) from None
        if check is not None and (problem := check(arguments, result)):
            raise ConfigError(f"{title} {problem}")
        return result

    return call


class _OutOfMemory(BaseException):
    """The machine's limit, and no mistake of the user's code."""


def _guard_settings(config_type: Any, title: str, file: str) -> None:
    """Guard the checks of settings. They are called when a setting is made, long before anything else."""
    checks = vars(config_type).get("__post_init__")
    ours = config_type.__module__.partition(".")[0] == "prudent"
    if checks is not None and not ours and not hasattr(checks, "__wrapped__"):
        config_type.__post_init__ = _guarded(checks, title, file, None)


# --- what functions return --------------------------------------------------------------------------------------------


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__} {value!r:.40}"


def _members(hyper: Any) -> int:
    return len(hyper.members)


def _state(arguments: tuple[Any, ...], result: Any) -> str:
    if not isinstance(result, State):
        return f"must return a State (prudent.algorithms.shared.updates), got {type(result).__name__}"
    members = _members(arguments[1])
    for name, params in result.networks.items():
        if not isinstance(params, dict):
            return f"must return networks as dictionaries of tensors, {name} is {type(params).__name__}"
        for key, value in params.items():
            if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != members:
                return f"must return tensors with the {members} members as first axis, {name}.{key} has {_shape(value)}"
    strange = [name for name in result.optimizers if name not in result.networks]
    return f"returns an optimiser for {strange[0]}, which is no network" if strange else ""


def _metrics(arguments: tuple[Any, ...], result: Any) -> str:
    if not isinstance(result, dict):
        return f"must return its metrics, a dictionary ({{}} for none), got {type(result).__name__}"
    members = _members(arguments[3])
    for name, value in result.items():
        if not isinstance(value, Tensor) or tuple(value.shape) != (members,):
            return f"must return one number per member, shape ({members},), for each metric: {name} has {_shape(value)}"
    return ""


def _action(arguments: tuple[Any, ...], result: Any) -> str:
    if not isinstance(result, tuple) or len(result) != 2:
        return f"must return (action, log_prob), got {type(result).__name__}"
    rows = tuple(arguments[1].shape[:2])
    action, log_prob = result
    if not isinstance(log_prob, Tensor) or tuple(log_prob.shape) != rows:
        return f"must return log_prob of shape (P, B) = {rows}, got {_shape(log_prob)}"
    if not isinstance(action, Tensor) or tuple(action.shape[:2]) != rows:
        return f"must return an action for each of (P, B) = {rows}, got {_shape(action)}"
    if action.dim() == 2 and action.dtype != torch.int64:
        return f"must return discrete actions as int64, got {action.dtype}"
    return ""


def _value(arguments: tuple[Any, ...], result: Any) -> str:
    rows = tuple(arguments[1].shape[:2])
    if not isinstance(result, Tensor) or tuple(result.shape) != rows:
        return f"must return one value for each of (P, B) = {rows}, got {_shape(result)}"
    return ""


_CHECKS: dict[str, Check] = {
    "init": _state,
    "update_critic": _metrics,
    "update_actor": _metrics,
    "update_supervised": _metrics,
    "act": _action,
    "q_value": _value,
}
