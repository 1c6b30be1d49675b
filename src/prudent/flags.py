"""Command-line flags from dataclass fields: one flag per field, its comment as the help.

A parser from the standard library and not one driven by types alone, because a ``float`` field of an algorithm is
one number in its Config and a list of them on the command line.
"""

import argparse
import types
import typing
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from typing import Any, NoReturn

from prudent.config import field_comments, member_fields
from prudent.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """argparse that complains in one line and proposes the nearest flag."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110))
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise what the user did wrong as a :class:`ConfigError`."""
        raise ConfigError(f"{self.prog.partition(' ')[2] or self.prog}: {message} (see {self.prog} --help)")

    def parse_strict(self, arguments: list[str]) -> argparse.Namespace:
        """Parse, refusing unknown flags with the nearest known one.

        Raises:
            ConfigError: a flag is unknown, lacks its value, or has one that is not allowed.
        """
        found, unknown = self.parse_known_args(arguments)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            close = get_close_matches(unknown[0].partition("=")[0], known, n=1)
            self.error(f"unknown argument {unknown[0]}" + (f"; did you mean {close[0]}?" if close else ""))
        return found


def add_flags(parser: argparse._ActionsContainer, config_type: type, defaults: Any = None, several: bool = False) -> None:
    """A flag for every field of a dataclass; absent flags stay out of the result.

    ``defaults`` is an instance whose values the help shows. With ``several``, fields that may differ between members
    take one or more numbers.
    """
    comments = field_comments(config_type)
    hints = typing.get_type_hints(config_type)
    varying = member_fields(config_type) if several else frozenset()
    for f in fields(config_type):
        default = getattr(defaults, f.name) if defaults is not None else _default(f)
        help_text = f"{comments[f.name]} (default: {_shown(default)})".replace("%", "%%")
        flag = "--" + f.name.replace("_", "-")
        parser.add_argument(
            flag, dest=f.name, default=argparse.SUPPRESS, help=help_text, **_kind(hints[f.name], f.name in varying)
        )


def _kind(hint: Any, several: bool) -> dict[str, Any]:
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
    if typing.get_origin(hint) is tuple:
        inner, *rest = typing.get_args(hint)
        return {"type": _parser(inner, optional), "nargs": len(rest) + 1 if Ellipsis not in rest else "+", "metavar": _name(inner)}
    return {"type": _parser(hint, optional), "metavar": _name(hint), **({"nargs": "+"} if several else {})}


def _parser(kind: type, optional: bool):
    def parse(text: str) -> Any:
        return None if optional and text.lower() == "none" else kind(text)

    parse.__name__ = kind.__name__
    return parse


def _name(kind: type) -> str:
    return {float: "X", int: "N", str: "NAME"}[kind]


def _default(f: Field) -> Any:
    return None if f.default is MISSING else f.default


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(str(v) for v in value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
