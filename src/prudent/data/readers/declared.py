"""What the user declares about data beyond what is in the files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from prudent.data.choices import declared_first
from prudent.data.columns import Bound, Dones, declared_discrete
from prudent.data.episodes.dropped import LAST_ROWS, LastRows
from prudent.data.readers._bounds import with_user
from prudent.data.readers.mapping import TableMap
from prudent.errors import DataError, EpisodeError

SKIP = "skip_bad_episodes=True (--skip-bad-episodes)"
_Item = TypeVar("_Item")
_Part = TypeVar("_Part")


class NoLastRowsError(DataError):
    """``last_rows`` was declared, and a source has no last row without a successor."""


@dataclass(frozen=True)
class Declared:
    """Declarations by the user, or by a file about itself; None leaves it open.

    See :func:`prudent.data.load_dataset` for what each of them means.
    """

    dones: Dones | None = None
    horizon: int | None = None
    action_low: Bound | None = None
    action_high: Bound | None = None
    discrete: bool | None = None
    n_actions: int | None = None
    mapping: TableMap | Mapping[str, Any] | str | Path | None = None
    last_rows: LastRows | None = None
    recorders: int | None = None
    skip_bad_episodes: bool | None = None
    first_action: int | None = None

    def check(self) -> None:
        """Refuse what makes no sense for any file.

        Raises:
            DataError: one line that names it.
        """
        if self.dones not in (None, "terminated", "truncated"):
            raise DataError(f'dones must be "terminated" or "truncated", got {self.dones!r}')
        if self.horizon is not None and self.horizon < 1:
            raise DataError(f"horizon must be 1 or more steps, got {self.horizon}")
        if self.recorders is not None and self.recorders < 1:
            raise DataError(f"recorders must be 1 or more, got {self.recorders}")
        if self.last_rows not in (None, *LAST_ROWS):
            raise DataError(f'last_rows must be "drop", "terminated" or "truncated", got {self.last_rows!r}')

    def refuse(self, source: str, names: Sequence[str]) -> None:
        """Refuse the declarations in ``names``: they would change nothing about ``source``.

        Raises:
            DataError: one of them was made.
        """
        made = [name for name in names if getattr(self, name) is not None]
        if made[:1] == ["skip_bad_episodes"]:
            raise DataError(f"{source}: {SKIP} does not apply to it: its rows were checked when it was made")
        if made[:1] == ["mapping"]:
            raise DataError(f"{source}: a mapping (--map) is for CSV and Parquet tables, and this is none")
        if made:
            kind = NoLastRowsError if made == ["last_rows"] else DataError
            raise kind(f"{source}: {made[0]} does not apply to it, the dataset says so itself")

    @contextmanager
    def about_episodes(self) -> Iterator[None]:
        """Where an error is about the rows of some episodes, its line says how to leave these out.

        Raises:
            DataError: instead of EpisodeError.
        """
        try:
            yield
        except EpisodeError as error:
            advice = f"; {error.remedy}" if error.remedy else ""
            if not self.skip_bad_episodes:
                advice += f"{', or else' if advice else ';'} {SKIP} leaves such episodes out"
            raise DataError(f"{error}{advice}") from error

    def refuse_what_flags_tell(self, name: str, *, terminations: bool, truncated: np.ndarray | None) -> None:
        """Refuse ``dones`` and ``horizon`` for a file whose flags say the same.

        ``terminations`` says whether its flags tell terminations from time limits; ``truncated`` (rows,) are its
        truncations, None where it has none.

        Raises:
            DataError: the declaration would change nothing.
        """
        if self.dones is not None and terminations:
            raise DataError(f"{name}: dones does not apply to it, its flags tell terminations from time limits")
        if self.horizon is not None and truncated is not None:
            raise DataError(f"{name}: horizon does not apply to it, its flags say where the recording was cut")

    def refuse_last_rows(self, name: str, lacking: int) -> None:
        """Refuse ``last_rows`` for a file in which no last row is ``lacking`` a successor.

        Raises:
            NoLastRowsError: the declaration would change nothing.
        """
        if self.last_rows is not None and lacking == 0:
            raise NoLastRowsError(
                f"{name}: last_rows does not apply to it, no last row lacks a successor "
                "(rows that were dropped when a file was made are gone from it: read the original)"
            )

    def or_else(self, filed: "Declared", name: str) -> "Declared":
        """These declarations; where they leave something open, those that the file ``name`` makes about itself.

        Raises:
            DataError: they contradict each other about the actions.
        """
        discrete, n_actions = declared_discrete(self.discrete, self.n_actions, filed.discrete, filed.n_actions, name)
        filed_first = None if self.discrete is False else filed.first_action
        first_action = declared_first(self.first_action, filed_first, discrete, name)
        user, file = (self.action_low, self.action_high), (filed.action_low, filed.action_high)
        action_low, action_high = with_user(user, file, name)
        return replace(
            self,
            horizon=filed.horizon if self.horizon is None else self.horizon,
            action_low=action_low,
            action_high=action_high,
            discrete=discrete if first_action is None else True,
            n_actions=n_actions,
            first_action=first_action,
        )


UNDECLARED = Declared()
"""The user declares nothing."""


def read_each(items: Sequence[_Item], declared: Declared, read: Callable[[_Item, Declared], _Part]) -> list[_Part]:
    """What ``read`` returns for each of several sources; ``last_rows`` holds for those that have such rows.

    Raises:
        DataError: a source is refused, or ``last_rows`` decides nothing about any of them.
    """
    parts: list[_Part] = []
    refused: list[NoLastRowsError] = []
    for item in items:
        try:
            parts.append(read(item, declared))
        except NoLastRowsError as error:
            refused.append(error)
            if len(refused) == len(items):
                raise
            parts.append(read(item, replace(declared, last_rows=None)))
    return parts
