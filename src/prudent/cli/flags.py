"""Command-line flags from dataclass fields: one flag per field, its comment as the help.

A parser from the standard library and not one driven by types alone, because a ``float`` field of an algorithm is
one number in its Config and a list of them on the command line.
"""

import argparse
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from prudent.config import field_comments, group_fields, member_fields
from prudent.errors import ConfigError

# Like argparse's own, with exponents and infinities: "-1e-3" and "-inf" are values, not flags.
_NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|-inf$", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """argparse that complains in one line and proposes the nearest flag; ``--batch_size`` is ``--batch-size``."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110))
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self._negative_number_matcher = _NEGATIVE_NUMBER
        # Why a flag that is known elsewhere is none here; nothing for what nobody knows.
        self.explain: Callable[[str], str] = lambda _flag: ""

    def error(self, message: str) -> NoReturn:
        """Raise what the user did wrong as a :class:`ConfigError`."""
        raise ConfigError(f"{self.prog.partition(' ')[2] or self.prog}: {message} (see {self.prog} --help)")

    def parse_known_args(self, args=None, namespace=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """As in argparse; underscores in flags read as dashes, and data may follow the values of a flag."""
        return super().parse_known_args(self._data_first([_with_dashes(word) for word in args or ()]), namespace)

    def _data_first(self, words: Sequence[str]) -> list[str]:
        """Words that no flag takes before all others, in their order: argparse would give them to a flag of many."""
        if not any(action.dest == "data" for action in self._actions):
            return list(words)
        known = {flag: action for action in self._actions for flag in action.option_strings}
        data, rest, flag, values = [], [], "", 0
        for word in words:
            if word.startswith("--"):
                flag, values = word, 0
            elif not flag or (flag in known and not _takes(known[flag], word, values)):
                data.append(word)
                continue
            else:
                values += 1
            rest.append(word)
        return data + rest

    def parse_strict(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse, refusing unknown flags with the nearest known one, and stray numbers.

        Raises:
            ConfigError: a flag is unknown, lacks its value, has one that is not allowed, or has too many.
        """
        found, unknown = self.parse_known_args(words)
        data: list[str] | None = getattr(found, "data", None)
        for word in [*unknown, *(data or ())]:
            if word.startswith("--"):
                if reason := self.explain(word.partition("=")[0]):
                    self.error(reason)
                known = [option for action in self._actions for option in action.option_strings]
                close = get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.7)
                self.error(f"unknown argument {word}" + (f"; did you mean {close[0]}?" if close else ""))
            # "--n-actions 5 10": the 10 is no dataset. But data may stand before and after the flags.
            if data is None or (_is_number(word) and not Path(word).exists()):
                flag = next((w for w in reversed(words[: words.index(word)]) if w.startswith("--")), None)
                self.error(f"unknown argument {word}" + (f": {flag} takes fewer values" if flag else ""))
        if data is not None:
            data.extend(unknown)
        return found


def _takes(action: argparse.Action, word: str, values: int) -> bool:
    """Whether a flag that has so many values already takes a word as one more.

    One of many takes what looks like no data too: it then says what is wrong with it.
    """
    if action.nargs is None or isinstance(action.nargs, int):
        return values < (1 if action.nargs is None else action.nargs)
    if values == 0 or not _may_be_data(word):
        return True
    if action.choices is not None:
        return word in action.choices
    try:
        # Those of argparse are functions of the text.
        return not callable(action.type) or (action.type(word), True)[1]
    except ValueError:
        return False


def _may_be_data(word: str) -> bool:
    """Whether a word may name data: it has what a path or a dataset's name has and is no number, or it is there."""
    return Path(word).exists() or (any(mark in word for mark in "./\\:-") and not _is_number(word))


def _with_dashes(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value if word.startswith("--") else word


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def values_of(given: Mapping[str, Any], config_type: type) -> dict[str, Any]:
    """Of the arguments parsed, the fields of a dataclass that :func:`add_flags` made flags for and somebody gave."""
    return {f.name: given[f.name] for f in fields(config_type) if f.name in given}


def add_flags(
    parser: argparse._ActionsContainer, config_type: type, defaults: Any = None, several: bool = False
) -> None:
    """A flag for every field of a dataclass; absent flags stay out of the result.

    ``defaults`` is an instance whose values the help shows. With ``several``, fields that may differ between members,
    of one population or of several, take one or more values.
    """
    comments = field_comments(config_type)
    hints = typing.get_type_hints(config_type)
    varying = member_fields(config_type) | group_fields(config_type) if several else frozenset()
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
        return {"choices": typing.get_args(hint), **({"nargs": "+"} if several else {})}
    if typing.get_origin(hint) is tuple:
        inner, *rest = typing.get_args(hint)
        count = None if Ellipsis in rest else len(rest) + 1
        return {
            "type": _parser(inner, optional, infinite=True),
            "nargs": "+",
            "metavar": _name(inner),
            "action": _Several,
            "const": count,
        }
    return {"type": _parser(hint, optional), "metavar": _name(hint), **({"nargs": "+"} if several else {})}


class _Several(argparse.Action):
    """Values that make one tuple; ``const`` says how many, if that is fixed. A lone ``none`` is no tuple."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Store them."""
        found = list(values or ())
        if found != [None] and (None in found or self.const not in (None, len(found))):
            parser.error(f"argument {option_string}: expected {self.const or 'some'} numbers, got {len(found)}")
        setattr(namespace, self.dest, None if found == [None] else found)


def _parser(kind: type, optional: bool, infinite: bool = False):
    def parse(text: str) -> Any:
        if optional and text.lower() == "none":
            return None
        value = kind(text)
        if isinstance(value, float) and not (math.isfinite(value) or (infinite and math.isinf(value))):
            raise ValueError
        return value

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
