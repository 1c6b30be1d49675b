"""Command-line flags from dataclass fields: one flag per field, its comment as the help.

argparse, not a parser driven by types alone: a ``float`` field of an algorithm is one number in its Config, but a list
of numbers on the command line.
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

from prudent.config import AUTO, FloatOrAuto, field_comments, group_fields, member_fields
from prudent.errors import ConfigError

MOST_THREADS = 4096
# Like argparse's own, with exponents and infinities: "-1e-3" and "-inf" are values, not flags.
_NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|-inf$", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors that suggest the nearest flag; ``--batch_size`` means ``--batch-size``."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110))
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self._negative_number_matcher = _NEGATIVE_NUMBER
        # From a flag that is unknown here to the reason; empty if there is none to give.
        self.explain: Callable[[str], str] = lambda _flag: ""

    def error(self, message: str) -> NoReturn:
        """Raise :class:`ConfigError` instead of printing and exiting."""
        raise ConfigError(f"{self.prog.partition(' ')[2] or self.prog}: {message} (see {self.prog} --help)")

    def parse_known_args(self, args=None, namespace=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """As in argparse, but flags may have underscores, and DATA may follow the values of a flag."""
        return super().parse_known_args(self._data_first([_with_dashes(word) for word in args or ()]), namespace)

    def _data_first(self, words: Sequence[str]) -> list[str]:
        """The words with DATA moved to the front: argparse would give them to a flag that takes several values."""
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
        """Parse the words; refuse unknown flags, suggesting the nearest known one, and numbers as DATA.

        Raises:
            ConfigError: a flag is unknown, lacks its value, has a value that is not allowed, or has too many values.
        """
        arguments, unknown = self.parse_known_args(words)
        data: list[str] | None = getattr(arguments, "data", None)
        for word in [*unknown, *(data or ())]:
            if word.startswith("--"):
                if reason := self.explain(word.partition("=")[0]):
                    self.error(reason)
                known = [option for action in self._actions for option in action.option_strings]
                close = get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.7)
                self.error(f"unknown argument {word}" + (f"; did you mean {close[0]}?" if close else ""))
            # In "--n-actions 5 10" the 10 is no dataset, although DATA may come before and after the flags.
            if data is None or (_is_number(word) and not Path(word).exists()):
                flag = next((w for w in reversed(words[: words.index(word)]) if w.startswith("--")), None)
                self.error(f"unknown argument {word}" + (f": {flag} takes fewer values" if flag else ""))
        if data is not None:
            data.extend(unknown)
        return arguments


def _takes(action: argparse.Action, word: str, values: int) -> bool:
    """Whether a flag that has ``values`` values takes one more word.

    A flag with several values also takes wrong ones that do not look like DATA, and then reports them.
    """
    if action.nargs is None or isinstance(action.nargs, int):
        return values < (1 if action.nargs is None else action.nargs)
    if values == 0 or not _may_be_data(word):
        return True
    if action.choices is not None:
        return word in action.choices
    if getattr(action.type, "__name__", "") == "str":
        return False
    try:
        # An action's type is a function that parses text.
        return not callable(action.type) or (action.type(word), True)[1]
    except ValueError:
        return False


def _may_be_data(word: str) -> bool:
    """Whether a word may name a dataset: it exists as a path, or is no number and has a character of such names."""
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


def add_threads(parser: argparse._ActionsContainer, default: int | None = None, what: str = "CPU threads") -> None:
    """Add ``--threads`` to a verb that trains no run; :func:`set_threads` heeds it."""
    text = "none, which leaves it to PyTorch" if default is None else str(default)
    parser.add_argument("--threads", type=int, default=default, metavar="N", help=f"{what} (default: {text})")


def set_threads(threads: int | None, verb: str) -> None:
    """Let PyTorch use so many threads from here on; None changes nothing.

    Raises:
        ConfigError: the number is below 1 or above :data:`MOST_THREADS`.
    """
    if threads is None:
        return
    if not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"{verb}: --threads must lie between 1 and {MOST_THREADS}, got {threads}")
    import torch

    torch.set_num_threads(threads)


def values_of(arguments: Mapping[str, Any], config_type: type) -> dict[str, Any]:
    """The parsed arguments that are fields of a dataclass; those whose flags were not given are absent."""
    return {f.name: arguments[f.name] for f in fields(config_type) if f.name in arguments}


def add_flags(
    parser: argparse._ActionsContainer, config_type: type, defaults: Any = None, several: bool = False
) -> None:
    """Add a flag for every field of a dataclass; flags that are not given are absent from the parsed arguments.

    ``defaults`` is an instance whose values the help shows. With ``several``, fields that may differ between members
    or between groups take one or more values.
    """
    comments = field_comments(config_type)
    hints = typing.get_type_hints(config_type)
    varying = member_fields(config_type) | group_fields(config_type) if several else frozenset()
    for f in fields(config_type):
        default = getattr(defaults, f.name) if defaults is not None else _default(f)
        help_text = f"{comments.get(f.name, '')} (default: {_text(default)})".replace("%", "%%")
        flag = "--" + f.name.replace("_", "-")
        parser.add_argument(
            flag, dest=f.name, default=argparse.SUPPRESS, help=help_text, **_kind(hints[f.name], f.name in varying)
        )


def _kind(hint: Any, several: bool) -> dict[str, Any]:
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if hint == FloatOrAuto:
        return {"type": _parser(float, False, word=AUTO), "metavar": "X", **({"nargs": "+"} if several else {})}
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
    """Values of one tuple; ``const`` is their number if it is fixed. ``none`` alone stands for no tuple."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Store the values."""
        items = list(values or ())
        if items != [None] and (None in items or self.const not in (None, len(items))):
            parser.error(f"argument {option_string}: expected {self.const or 'some'} numbers, got {len(items)}")
        setattr(namespace, self.dest, None if items == [None] else items)


def _parser(kind: type, optional: bool, infinite: bool = False, word: str | None = None):
    def parse(text: str) -> Any:
        if optional and text.lower() == "none":
            return None
        if word is not None and text.lower() == word:
            return word
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


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(str(v) for v in value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
