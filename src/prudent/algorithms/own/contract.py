"""What a module must have to be an algorithm, as far as it shows without running it.

:func:`prudent.testing.check_algorithm` also runs it.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from prudent.algorithms.shared.settings import Shared
from prudent.config import FloatOrAuto

POLICIES = ("gaussian", "deterministic", "categorical", "greedy")
DISCRETE = ("categorical", "greedy")
COLUMNS = ("return_to_go", "next_action")
"""Optional columns of a batch."""

SIGNATURES = {
    "init": "spec, hyper, rng",
    "draw": "spec, hyper, rng",
    "update_critic": "state, batch, noise, hyper",
    "update_actor": "state, batch, noise, hyper",
    "update_target": "state, hyper",
    "act": "networks, observation, noise=None",
    "q_value": "networks, observation, action",
    "update_supervised": "state, batch, noise, hyper",
}
"""The functions and what they are called with. ``act`` over discrete actions also takes ``mask=None``."""


def broken(module: Any) -> list[str]:
    """What the module lacks, a line each; empty if it may be an algorithm."""
    return [*_constants(module), *_functions(module), *_config(module)]


def class_name(title: str) -> str:
    """The name of the agent: ``TD3BC`` for ``TD3+BC``."""
    return "".join(letter for letter in title if letter.isalnum())


def _constants(module: Any) -> Iterator[str]:
    title = getattr(module, "TITLE", None)
    if not isinstance(title, str) or not any(letter.isalnum() for letter in title):
        yield f"TITLE must be the algorithm's name as people write it, such as 'TD3+BC', got {title!r}"
    elif not class_name(title).isidentifier():
        yield f"TITLE {title!r} must begin with a letter: its letters and digits name the agent, which is a class"
    policy = getattr(module, "POLICY", None)
    if policy not in POLICIES:
        yield f"POLICY must be one of {', '.join(POLICIES)}, got {policy!r}"
    needs = getattr(module, "NEEDS", None)
    if not isinstance(needs, tuple | list) or any(need not in COLUMNS for need in needs):
        yield f"NEEDS must be a tuple of columns out of {', '.join(COLUMNS)}, () for none, got {needs!r}"


def _functions(module: Any) -> Iterator[str]:
    for name in SIGNATURES:
        if name == "update_supervised" and not _has_value_init(module):
            continue
        if not hasattr(module, name):
            why = ": Config has value_init" if name == "update_supervised" else ""
            none = "; q_value = None says that there is no critic" if name == "q_value" else ""
            yield f"{name}({_parameters(module, name)}) is missing{why}{none}"
            continue
        function = getattr(module, name)
        if name == "q_value" and function is None:
            continue
        if not callable(function):
            yield f"{name} must be a function, got {function!r}"
        elif not _takes(function, _parameters(module, name)):
            yield f"{name} must take ({_parameters(module, name)})"


def _has_value_init(module: Any) -> bool:
    config_type = getattr(module, "Config", None)
    return inspect.isclass(config_type) and is_dataclass(config_type) and "value_init" in _names(config_type)


def _names(config_type: Any) -> list[str]:
    return [f.name for f in fields(config_type)]


def _parameters(module: Any, name: str) -> str:
    discrete = name == "act" and getattr(module, "POLICY", None) in DISCRETE
    return SIGNATURES[name] + (", mask=None" if discrete else "")


def _takes(function: Callable[..., Any], parameters: str) -> bool:
    """Whether a function may be called with these, by position, and without those that have a default."""
    names = parameters.split(", ")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: nobody knows before it is called
        return True
    try:
        signature.bind(*names)
        signature.bind(*(name for name in names if "=" not in name))
    except TypeError:
        return False
    return True


def _config(module: Any) -> Iterator[str]:
    config_type = getattr(module, "Config", None)
    if config_type is None:
        yield "Config, a frozen dataclass of settings, is missing"
        return
    if not (inspect.isclass(config_type) and issubclass(config_type, Shared)):
        yield "Config must inherit from a class in prudent.algorithms.shared.settings: the engine reads those settings"
        return
    frozen = getattr(config_type, "__dataclass_params__").frozen  # noqa: B009 - of dataclasses, not in their types
    if "__dataclass_fields__" not in vars(config_type) or not frozen:
        yield "Config must be decorated with @dataclass(frozen=True, kw_only=True)"
        return
    texts = [f.name for f in fields(config_type) if isinstance(f.type, str)]
    if texts:
        yield (
            f"Config.{texts[0]} has its type as text: leave out 'from __future__ import annotations', "
            "because types say which settings may differ between members"
        )
        return
    for f in fields(config_type):
        if not _is_setting(f.type):
            yield f"Config.{f.name} has type {f.type}: a setting is {KINDS}"
        elif f.default is MISSING:
            yield f"Config.{f.name} has no default"


KINDS = "float, int, bool, str, Literal[...], tuple[...] of these, or one of them | None"


def _is_setting(hint: Any) -> bool:
    """Whether flags and JSON know a type."""
    if hint == FloatOrAuto:
        return True
    if isinstance(hint, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        return len(kinds) == 1 and _is_setting(kinds[0])
    if get_origin(hint) is tuple:
        return all(kind is Ellipsis or _is_setting(kind) for kind in get_args(hint)) and bool(get_args(hint))
    return get_origin(hint) is Literal or hint in (float, int, bool, str)
