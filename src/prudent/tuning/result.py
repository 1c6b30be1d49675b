""":class:`TuneResult`, what :func:`prudent.tune` returns: candidates, final comparison and verdict of each division.

It prints as a table and is stored as ``tune.json``.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import mean
from typing import Any

from prudent.errors import MISFITS, PrudentError, in_one_line
from prudent.report.format import WAYS
from prudent.runs.folder import read_json
from prudent.tuning import tables
from prudent.tuning.grid import edge_note
from prudent.tuning.stored_result import check_derived, check_plan, check_split
from prudent.tuning.verdict import BC, DEPLOY, KEEP_LOG, against_bc

FILE = "tune.json"

MORE_STEPS = "more steps"
"""In the readings of :mod:`prudent.tuning.curve`, of a curve that has not settled."""


@dataclass(frozen=True)
class Candidate:
    """One run of a grid, or one of BC. For BC ``strength``, ``q``, ``peak_step`` and ``peak_q`` are None.

    Attributes:
        name: ``alpha=5,seed=0``; with several algorithms ``cql,alpha=5,seed=0``; ``BC,seed=0``.
        setting: the name without the seed; empty for BC.
        algorithm: its name.
        run, member: the folder of the run that trained it, within that of the tuning, and its name in there.
        strength: value of the setting that the grid varies, such as alpha.
        seed: of the training.
        step: of the chosen checkpoint; None if the run diverged.
        q, peak_step, peak_q: average dataset Q at that step, and the peak of its curve.
        reading: the shape of the curve in words; for BC why this checkpoint was chosen.
        curve: (step, average dataset Q or None) of each checkpoint; for BC the log-likelihood on the evaluation part.
        value, interval: by fitted Q evaluation on training and evaluation part.
        reason: why there is no value.
        acting: how it acts, ``mode`` (the likeliest action) or ``sample``, whichever is worth more; the likeliest
            action unless drawing is shown to be better.
        other: value of the other way, if it has two and that one has a value.
        rank: from 1, see :func:`ranked`; None without an interval.
    """

    name: str
    setting: str
    algorithm: str
    run: str
    member: str
    strength: float | None
    seed: int
    step: int | None
    q: float | None = None
    peak_step: int | None = None
    peak_q: float | None = None
    reading: str = ""
    curve: tuple[tuple[int, float | None], ...] = ()
    value: float | None = None
    interval: tuple[float, float] | None = None
    reason: str | None = None
    acting: str = "mode"
    other: float | None = None
    rank: int | None = None

    @property
    def alpha(self) -> float | None:
        """The value of alpha; None if the grid varies another setting, and for BC."""
        return self.strength if "alpha=" in self.setting else None

    @property
    def figures(self) -> str:
        """Value and interval, and how it acts if it has two ways."""
        assert self.value is not None
        assert self.interval is not None
        text = f"{self.value:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        if self.other is None:
            return text
        ways = ("by the likeliest action", "by drawing")
        own, other = ways if self.acting == "mode" else ways[::-1]
        return f"{text} {own} ({self.other:.4g} {other})"

    @property
    def lower_bound(self) -> float:
        """The lower end of the interval; minus infinity without one."""
        return -math.inf if self.interval is None else self.interval[0]


def ranked(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates with their ranks, in unchanged order; see :func:`order`."""
    best_first = order([c.setting or None for c in candidates], [c.lower_bound for c in candidates])
    ranks = {place: rank for rank, place in enumerate(best_first, 1)}
    return tuple(replace(c, rank=ranks.get(place)) for place, c in enumerate(candidates))


def order(settings: Sequence[Hashable | None], bounds: Sequence[float]) -> list[int]:
    """Indices of the runs, best first: by the mean lower bound of their setting over its seeds, then their own.

    Seeds of one setting differ mostly by the error of their estimates, so the run with the highest bound of all is
    likely the one with the luckiest estimate. Runs without a bound (minus infinity) are left out. A setting with such a
    run ranks behind all others: if one seed diverges or leaves the data, the next may do so too. BC has no setting.
    """
    bounded = [run for run, bound in enumerate(bounds) if bound > -math.inf]
    unsafe = {own for own, bound in zip(settings, bounds, strict=True) if bound == -math.inf and own is not None}
    means = {
        own: mean(bounds[run] for run in bounded if settings[run] == own) for own in {settings[i] for i in bounded}
    }
    return sorted(bounded, key=lambda run: (settings[run] in unsafe, -means[settings[run]], -bounds[run]))


@dataclass(frozen=True)
class Split:
    """The result of one division of the episodes.

    Attributes:
        parts: number of episodes of each part, ``by``, ``seed``.
        behaviour: value of the behaviour policy on training and evaluation part: ``{"value", "ci95", ...}``.
        candidates, imitators: the runs of the grid and of BC.
        winner, imitator: name of the best of each; ``winner`` is None if no run can be ranked.
        verdict, reasons, clone: see :mod:`prudent.tuning.verdict`.
        final: values on the final part: ``policy`` and ``bc`` (:meth:`prudent.ope.OffPolicyValue.summary`), and
            ``differences`` by name.
    """

    parts: dict[str, Any]
    behaviour: dict[str, Any]
    candidates: tuple[Candidate, ...]
    imitators: tuple[Candidate, ...]
    winner: str | None
    imitator: str
    verdict: str
    reasons: tuple[str, ...]
    clone: bool
    final: dict[str, Any]

    @property
    def kept(self) -> Candidate | None:
        """The policy to keep: the winner, BC, or None if what made the log stays and BC cannot stand for it."""
        if self.verdict == DEPLOY:
            return self.best
        if self.verdict == KEEP_LOG and not self.clone:
            return None
        return next((c for c in self.imitators if c.name == self.imitator), None)

    @property
    def best(self) -> Candidate | None:
        """The winner; None without one."""
        return next((c for c in self.candidates if c.name == self.winner), None)

    @property
    def alpha(self) -> float | None:
        """Alpha of the winner; None without one, or if its grid varies another setting."""
        return None if self.best is None else self.best.alpha

    @property
    def setting(self) -> str:
        """The setting of the winner, such as ``alpha=5``; ``none`` without one."""
        return "none" if self.best is None else self.best.setting

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Split":
        """From the content of a file.

        Raises:
            KeyError, TypeError, ValueError: it is damaged, see :mod:`prudent.tuning.stored_result`.
        """
        check_split(content)
        groups = {key: tuple(_candidate(c) for c in content[key]) for key in ("candidates", "imitators")}
        return cls(**{**content, **groups, "reasons": tuple(content["reasons"])})


def _candidate(content: dict[str, Any]) -> Candidate:
    missing = [f.name for f in fields(Candidate) if f.name not in content]
    if missing:
        raise ValueError(f"a run has no {', '.join(missing)}")
    interval = None if content["interval"] is None else tuple(content["interval"])
    curve = tuple((step, q) for step, q in content["curve"])
    return Candidate(**{**content, "interval": interval, "curve": curve})


@dataclass(frozen=True)
class TuneResult:
    """The result of :func:`prudent.tune`. The choice of the first split is kept at :attr:`policy`.

    Attributes:
        folder: the folder of the tuning.
        plan: the request: ``algorithm``, ``grids``, ``seeds``, ``settings``, ``dataset``.
        splits: the result of each division of the episodes.
        kept: name of the policy at :attr:`policy`: the winner, or a member of BC; None if the folder holds none.
        checked: returns in an environment, measured afterwards; None without one.
    """

    folder: Path
    plan: dict[str, Any]
    splits: tuple[Split, ...]
    kept: str | None
    checked: dict[str, Any] | None = None

    @property
    def first(self) -> Split:
        """The split whose choice is kept."""
        return self.splits[0]

    @property
    def verdict(self) -> str:
        """One of the three verdicts in :mod:`prudent.tuning.verdict`."""
        return self.first.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons of the verdict, with their figures."""
        return self.first.reasons

    @property
    def alpha(self) -> float | None:
        """Alpha of the winner; None if no run could be ranked, or its algorithm has none."""
        return self.first.alpha

    @property
    def policy(self) -> Path | None:
        """Folder of the policy to keep, for :func:`prudent.load`; None if what made the log is better than any.

        It holds the winner if the verdict is to deploy it, and else BC where the data support it.
        """
        return None if self.kept is None else self.folder / "policy"

    @property
    def stability(self) -> dict[str, Any]:
        """In how many splits each setting won, and how often each verdict occurred."""
        wins = Counter(s.setting for s in self.splits)
        return {
            "splits": len(self.splits),
            "setting": dict(wins.most_common()),
            "verdict": dict(Counter(s.verdict for s in self.splits).most_common()),
        }

    def to_json(self) -> dict[str, Any]:
        """The content of ``tune.json``; what has no value is None."""
        return {
            "plan": self.plan,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "alpha": self.alpha,
            "setting": self.first.setting,
            "winner": self.first.winner,
            "kept": self.kept,
            "stability": self.stability,
            "splits": [asdict(split) for split in self.splits],
            "checked": self.checked,
        }

    @classmethod
    def load(cls, folder: Path | str) -> "TuneResult":
        """Read the result from a folder.

        Raises:
            PrudentError: there is none, or the file is damaged.
        """
        folder = Path(folder)
        content = read_json(folder / FILE)
        try:
            check_plan(content["plan"])
            splits = tuple(Split.from_json(split) for split in content["splits"])
            result = cls(folder, content["plan"], splits, content["kept"], content["checked"])
            kept = result.first.kept
            check_derived(content, result.to_json(), None if kept is None else kept.name)
            return result
        except MISFITS as error:
            raise PrudentError(f"{folder / FILE} is damaged, or of another version: {in_one_line(error)}") from error

    def table(self) -> str:
        """Two tables of the first split: the grid, best first, then BC, which is not ranked with it."""
        return tables.text(self.first, self.checked)

    def __str__(self) -> str:
        split = self.first
        lines = [self.table(), ""]
        lines += [
            f"{c.name}: {c.reason}" for c in (*split.candidates, *split.imitators) if c.reason and c.value is None
        ]
        lines += _unfinished(split.candidates)
        lines += _edges(self.plan, split)
        lines += [f"value of the behaviour policy on the same episodes: {tables.figure(split.behaviour['value'])}", ""]
        lines += [f"verdict: {self.verdict}", *(f"  - {reason}" for reason in self.reasons)]
        if len(self.splits) > 1:
            wins, verdicts = (
                ", ".join(f"{name} in {n}" for name, n in self.stability[key].items()) for key in ("setting", "verdict")
            )
            lines.append(f"over {len(self.splits)} splits, setting that won: {wins}; verdicts: {verdicts}")
        if self.checked is not None:
            lines.append(f"returns in {self.checked['env']} were measured afterwards and did not change the choice")
        return "\n".join([*lines, self._end()])

    def _end(self) -> str:
        """Where the policy is, or why there is none."""
        kept = self.first.kept
        if kept is None:
            return f"{self.folder} holds no policy: {against_bc(self.first.final['differences'][BC])}"
        stands = ", an imitation of what made the log," if self.verdict == KEEP_LOG else ""
        return f"{kept.name}{stands} is kept at {self.policy}; it acts by {WAYS[kept.acting]}"


def _edges(plan: dict[str, Any], split: Split) -> list[str]:
    """A line where the winner is the outermost of what was tried."""
    best = split.best
    grid = next((g for g in plan["grids"] if best is not None and g["algorithm"] == best.algorithm), None)
    if best is None or grid is None:
        return []
    values = sorted({c.strength for c in split.candidates if c.algorithm == best.algorithm and c.strength is not None})
    note = edge_note(grid, values, best.strength)
    return [note] if note else []


def _unfinished(candidates: Sequence[Candidate]) -> list[str]:
    """The runs whose curves have not settled, a line per reading."""
    runs: dict[str, list[str]] = {}
    for c in candidates:
        if MORE_STEPS in c.reading:
            runs.setdefault(c.reading, []).append(c.name)
    every = f"all {len(candidates)} runs"
    return [
        f"{every if len(names) == len(candidates) > 1 else ', '.join(names)}: {reading}"
        for reading, names in runs.items()
    ]
