"""What a tuning found: every candidate, the last comparison, the verdict of each division, and all of it as a file."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from prudent.errors import PrudentError
from prudent.report.terminal import text_table
from prudent.runs.folder import read_json

FILE = "tune.json"

MORE_STEPS = "more steps"
"""What the readings of :mod:`prudent.tuning.curve` say of a curve that has not come to its end."""


@dataclass(frozen=True)
class Candidate:
    """One run of the grid, or one of BC (then ``alpha`` is None, and so are ``q``, the peak and the curve's values).

    Attributes:
        name: of the member, ``alpha=5,seed=0``.
        step: of the checkpoint taken; None for a run that diverged.
        q, peak_step, peak_q: average dataset Q at that step, and where its curve peaked.
        reading: how the curve reads, in words; of BC why this checkpoint.
        curve: (step, average dataset Q or None) of each checkpoint; of BC log-likelihoods on the evaluation part.
        value, interval: by fitted Q evaluation on training and evaluation part; None where ``reason`` says why.
        rank: as :func:`ranked` has it, from 1; None without an interval.
    """

    name: str
    alpha: float | None
    seed: int
    step: int | None
    q: float | None
    peak_step: int | None
    peak_q: float | None
    reading: str
    curve: tuple[tuple[int, float | None], ...]
    value: float | None = None
    interval: tuple[float, float] | None = None
    reason: str | None = None
    rank: int | None = None

    @property
    def lower_bound(self) -> float:
        """The lower end of the interval, minus infinity without one."""
        return -math.inf if self.interval is None else self.interval[0]


def ranked(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The same, in the same order, with their ranks, see :func:`order`."""
    best = order([c.alpha for c in candidates], [c.lower_bound for c in candidates])
    ranks = {place: rank for rank, place in enumerate(best, 1)}
    return tuple(replace(c, rank=ranks.get(place)) for place, c in enumerate(candidates))


def order(alphas: Sequence[float | None], bounds: Sequence[float]) -> list[int]:
    """Places of the runs, the best first: the alpha with the highest mean bound over its seeds, then the highest bound.

    What one seed gains over another is mostly the error of its estimate, of which the highest of all runs would be the
    luckiest. Runs without a bound (minus infinity) are left out, and an alpha that has one comes behind those that have
    none: where one seed diverges or leaves the data, the next may be about to.
    """
    known = [place for place, bound in enumerate(bounds) if bound > -math.inf]
    lost = {alpha for alpha, bound in zip(alphas, bounds, strict=True) if bound == -math.inf and alpha is not None}
    means = {a: mean(bounds[place] for place in known if alphas[place] == a) for a in {alphas[p] for p in known}}
    return sorted(known, key=lambda p: (alphas[p] in lost, -means[alphas[p]], -bounds[p]))


@dataclass(frozen=True)
class Split:
    """What came of one division of the episodes.

    Attributes:
        parts: episodes of each part, ``by``, ``seed``.
        behaviour: what made the log, on training and evaluation part: ``{"value", "interval", ...}``.
        candidates, imitators: the grid and BC.
        winner, imitator: the names of the first of each; ``winner`` None where no run can be ranked.
        verdict, reasons: see :mod:`prudent.tuning.verdict`.
        final: on the final part: ``policy`` and ``bc`` as :meth:`prudent.ope.OffPolicyValue.summary` has them, and
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
    final: dict[str, Any]

    @property
    def alpha(self) -> float | None:
        """Alpha of the winner."""
        return next((c.alpha for c in self.candidates if c.name == self.winner), None)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Split":
        """Out of a file."""
        groups = {key: tuple(_candidate(c) for c in content[key]) for key in ("candidates", "imitators")}
        return cls(**{**content, **groups, "reasons": tuple(content["reasons"])})


def _candidate(content: dict[str, Any]) -> Candidate:
    interval = None if content["interval"] is None else tuple(content["interval"])
    curve = tuple((step, q) for step, q in content["curve"])
    return Candidate(**{**content, "interval": interval, "curve": curve})


@dataclass(frozen=True)
class TuneResult:
    """What :func:`prudent.tune` found; the first split's choice is the one that is kept at :attr:`policy`.

    Attributes:
        folder: where everything lies.
        plan: what was asked for: ``algorithm``, ``alpha``, ``seeds``, ``config``, ``settings``, ``dataset``.
        splits: what came of each division of the episodes.
        kept: name of what lies at :attr:`policy`: the winner, or ``BC``.
        checked: returns in an environment, for a look afterwards; None without one.
    """

    folder: Path
    plan: dict[str, Any]
    splits: tuple[Split, ...]
    kept: str
    checked: dict[str, Any] | None = None

    @property
    def first(self) -> Split:
        """The division whose choice is kept."""
        return self.splits[0]

    @property
    def verdict(self) -> str:
        """One of the three in :mod:`prudent.tuning.verdict`."""
        return self.first.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Of the verdict, each with its figures."""
        return self.first.reasons

    @property
    def alpha(self) -> float | None:
        """Alpha of the winner; None where no run could be ranked."""
        return self.first.alpha

    @property
    def policy(self) -> Path:
        """What to deploy, for :func:`prudent.load`: the winner if the verdict says so, else BC."""
        return self.folder / "policy"

    @property
    def stability(self) -> dict[str, Any]:
        """How many splits each alpha won, and how many each verdict fell in."""
        wins = Counter("none" if s.alpha is None else f"{s.alpha:g}" for s in self.splits)
        return {
            "splits": len(self.splits),
            "alpha": dict(wins.most_common()),
            "verdict": dict(Counter(s.verdict for s in self.splits).most_common()),
        }

    def to_json(self) -> dict[str, Any]:
        """As ``tune.json`` has it; None stands for what has no value."""
        return {
            "plan": self.plan,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "alpha": self.alpha,
            "winner": self.first.winner,
            "kept": self.kept,
            "stability": self.stability,
            "splits": [asdict(split) for split in self.splits],
            "checked": self.checked,
        }

    @classmethod
    def load(cls, folder: Path | str) -> "TuneResult":
        """The result in a folder.

        Raises:
            PrudentError: there is none, or the file is damaged.
        """
        folder = Path(folder)
        content = read_json(folder / FILE)
        try:
            splits = tuple(Split.from_json(split) for split in content["splits"])
            return cls(folder, content["plan"], splits, content["kept"], content["checked"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PrudentError(f"{folder / FILE} is damaged, or of another version: {error}") from error

    def table(self) -> str:
        """The grid of the first split, the best on top, then BC."""
        split = self.first
        checked = {} if self.checked is None else self.checked["returns"]
        head = ["run", "step", "Q there", "Q peak at", "FQE", "lower bound", "rank"]
        head += [f"return in {self.checked['env']}"] if self.checked else []
        rows = []
        for c in [*sorted(split.candidates, key=lambda c: c.rank or math.inf), *split.imitators]:
            name = c.name if c.alpha is not None else f"BC,{c.name}"
            row = [name, _text(c.step, ",d"), _text(c.q), _text(c.peak_step, ",d"), _text(c.value)]
            row += [_text(c.interval and c.interval[0]), _text(c.rank, "d")]
            rows.append(row + ([_text(checked.get(name))] if self.checked else []))
        return text_table(head, rows)

    def __str__(self) -> str:
        split = self.first
        lines = [self.table(), ""]
        lines += [
            f"{c.name}: {c.reason}" for c in (*split.candidates, *split.imitators) if c.reason and c.value is None
        ]
        lines += _unfinished(split.candidates)
        lines += [f"behaviour on the same episodes: {_text(split.behaviour['value'])}", ""]
        lines += [f"verdict: {self.verdict}", *(f"  - {reason}" for reason in self.reasons)]
        if len(self.splits) > 1:
            told = self.stability
            wins = ", ".join(f"{alpha} in {n}" for alpha, n in told["alpha"].items())
            verdicts = ", ".join(f"{verdict} in {n}" for verdict, n in told["verdict"].items())
            lines.append(f"of {told['splits']} splits alpha won: {wins}; verdicts: {verdicts}")
        if self.checked is not None:
            lines.append(f"returns in {self.checked['env']} are a check made afterwards; they chose nothing")
        return "\n".join([*lines, f"{self.kept} is kept at {self.policy}"])


def _unfinished(candidates: Sequence[Candidate]) -> list[str]:
    """Of which runs the curves say that more steps help, a line per reading."""
    names: dict[str, list[str]] = {}
    for c in candidates:
        if MORE_STEPS in c.reading:
            names.setdefault(c.reading, []).append(c.name)
    everyone = f"all {len(candidates)} runs"
    return [f"{everyone if len(n) == len(candidates) > 1 else ', '.join(n)}: {text}" for text, n in names.items()]


def _text(value: float | None, form: str = ".4g") -> str:
    return "-" if value is None else format(value, form)
