"""Settings as frozen dataclasses: what may differ between members, checks, JSON, and the comments that explain them."""

import inspect
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError

MOST_TOML_BYTES = 256 << 10
"""Longer files are refused: nobody writes so many settings by hand."""

_MOST_PARTS = 32
# Strings and comments, in which dots are not parts of keys. An unclosed one ends where the parser would stop.
_NO_KEYS = re.compile(
    r"""
      "{3} (?: \\. | [^\\] )*? (?: "{3,5} | \\?\Z )
    | '{3} .*? (?: '{3,5} | \Z )
    | " (?: \\[^\n] | [^"\\\n] )* "?
    | ' [^'\n]* '?
    | \# [^\n]*
    """,
    re.DOTALL | re.VERBOSE,
)
_BETWEEN_KEYS = re.compile(r"[=\n,\[\]{}]")

AUTO = "auto"
"""The value of a number setting that follows from the data: :func:`prudent.engine.members.with_reward_scales`."""

FloatOrAuto = float | typing.Literal["auto"]
"""The type of such a setting."""

C = typing.TypeVar("C")


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """A file of settings.

    Raises:
        ConfigError: it is no regular file, too long, or not TOML.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: a folder, expected a TOML file" if path.is_dir() else f"{path}: no such file")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_TOML_BYTES + 1)
        if len(content) > MOST_TOML_BYTES:
            raise ConfigError(f"{path} is longer than {MOST_TOML_BYTES} bytes, too long for a file of settings")
        text = content.decode("utf-8")
        # The parser's time grows with the square of a key's parts: minutes for a file of this size.
        if any(part.count(".") > _MOST_PARTS for part in _BETWEEN_KEYS.split(_NO_KEYS.sub("", text))):
            raise ConfigError(f"{path} has a key of more than {_MOST_PARTS} parts")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} is not TOML: {reason or type(error).__name__}") from error


def member_fields(config_type: type) -> frozenset[str]:
    """Names of the fields that may differ between members of one population: those annotated as float."""
    return frozenset(f.name for f in fields(config_type) if f.type in (float, float | None, FloatOrAuto))


def group_fields(config_type: type) -> frozenset[str]:
    """Names of whole-number and choice fields: members that differ in one of them cannot train together."""
    return frozenset(
        f.name
        for f in fields(config_type)
        if f.type in (int, int | None) or typing.get_origin(f.type) is typing.Literal
    )


def check_finite(config: Any) -> None:
    """Raise ConfigError for any single-number field that is NaN or infinite."""
    for f in fields(config):
        value = getattr(config, f.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{f.name} must be a finite number, got {value}")


def check_positive(config: Any, *names: str) -> None:
    """Raise ConfigError for any named field that is not above zero (None and ``auto`` are allowed)."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value != AUTO and not value > 0:
            raise ConfigError(f"{name} must be above 0, got {value}")


def check_within(config: Any, low: float, high: float, *names: str) -> None:
    """Raise ConfigError for any named field outside [low, high] (None is allowed)."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name} must lie within [{low:g}, {high:g}], got {value}")


def check_whole(config: Any, least: int, *names: str) -> None:
    """Raise ConfigError if a named field is not a whole number of at least ``least``, or None where that is allowed."""
    optional = {f.name for f in fields(config) if isinstance(f.type, types.UnionType)}
    for name in names:
        value = getattr(config, name)
        if value is None and name in optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be a whole number, {least} or more, got {value!r}")


def check_choice(config: Any, name: str, choices: Sequence[str]) -> None:
    """Raise ConfigError if a named field is not one of the choices."""
    if getattr(config, name) not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {getattr(config, name)!r}")


def reorder_fields(config_type: type[C], names: Iterable[str]) -> type[C]:
    """Make ``fields()`` of a dataclass list the named fields first, then the others.

    Python lists inherited fields first. The order is that of flags in ``--help`` and of settings in ``config.json``.
    """
    by_name = config_type.__dataclass_fields__  # pyright: ignore[reportAttributeAccessIssue]
    ordered = {name: by_name[name] for name in dict.fromkeys([*names, *by_name])}
    config_type.__dataclass_fields__ = ordered  # pyright: ignore[reportAttributeAccessIssue]
    return config_type


def to_json(config: Any) -> dict[str, Any]:
    """A config as JSON values; infinities become the strings "inf" and "-inf", because JSON has no number for them."""

    def plain(value):
        if isinstance(value, tuple):
            return [plain(v) for v in value]
        return str(value) if isinstance(value, float) and math.isinf(value) else value

    return {f.name: plain(getattr(config, f.name)) for f in fields(config)}


def from_json(config_type: type[C], values: dict[str, Any]) -> C:
    """The inverse of :func:`to_json`.

    Raises:
        ConfigError: a key names no setting, or a value is of the wrong type.
    """
    check_names(config_type, values)
    hints = typing.get_type_hints(config_type)
    return config_type(**{name: _typed(value, hints[name], name) for name, value in values.items()})


def check_names(config_type: type, names) -> None:
    """Raise ConfigError for a name that is not a field; the message proposes the nearest one."""
    known = [f.name for f in fields(config_type)]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f" (there are {', '.join(known)})"
            raise ConfigError(f"no setting is called {name!r}{hint}")


def _typed(value: Any, hint: Any, name: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in typing.get_args(hint):
            return None
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    wanted = hint
    if hint == FloatOrAuto:
        if value == AUTO:
            return AUTO
        hint = float
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_typed(v, typing.get_args(hint)[0], name) for v in value)
    if typing.get_origin(hint) is typing.Literal and value in typing.get_args(hint):
        return value
    # bool is a subclass of int in Python, but is not accepted as a number here.
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    raise ConfigError(f"{name} cannot be {value!r}{_expected(wanted)}")


_EXPECTED = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def _expected(hint: Any) -> str:
    """What a setting of a type may be, as the end of a sentence; empty for types that no user writes."""
    if hint == FloatOrAuto:
        return f': expected a number or "{AUTO}"'
    if typing.get_origin(hint) is typing.Literal:
        return f": expected one of {', '.join(map(repr, typing.get_args(hint)))}"
    if typing.get_origin(hint) is tuple:
        return ": expected a list"
    return f": expected {_EXPECTED[hint]}" if hint in _EXPECTED else ""


def field_comments(config_type: type) -> dict[str, str]:
    """The one-line comment beside each field, in the order of the fields: the help text of the flag of that name."""
    pattern = re.compile(r"^    (\w+): [^#]*#\s*(.+?)\s*$", re.MULTILINE)
    comments: dict[str, str] = {}
    for base in reversed([t for t in config_type.__mro__ if is_dataclass(t)]):
        comments |= dict(pattern.findall(inspect.getsource(base)))
    return {f.name: comments.pop(f.name) for f in fields(config_type) if f.name in comments} | comments
