"""A tuned folder in place of a run: the episodes that ``value`` rests on, and the report with that value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prudent.cli.run_folders import to_stderr
from prudent.errors import PrudentError

PARTS = {"train": "training part", "evaluation": "evaluation part", "final": "final part"}
"""In words; the policy learned from the first and was chosen by the first two."""


@dataclass(frozen=True)
class Episodes:
    """The episodes that the value of a tuned policy is estimated from.

    ``seen`` is for :func:`prudent.ope.value.value`; ``shared`` counts them by the part of the tuning that they are of,
    None if that is not known; ``sentence`` says both.
    """

    dataset: Any
    seen: Any
    shared: dict[str, int] | None
    sentence: str


def episodes(folder: Path, dataset: Any) -> Episodes:
    """The final part of a tuning, or ``dataset`` compared with all three parts.

    Raises:
        ConfigError, DataError, PrudentError: ``dataset`` is None, and the final part cannot be had.
    """
    from prudent.ope.value import shared_episodes
    from prudent.runs import tuned

    if dataset is None:
        final = tuned.part(folder, "final")
        sentence = (
            f"These are the {final.n_episodes:,} episodes of the tuning's final part: the policy was neither trained "
            "on them nor chosen by them. The verdict of the tuning rests on them too; new episodes are a second test."
        )
        return Episodes(final, False, {"train": 0, "evaluation": 0, "final": final.n_episodes}, sentence)
    try:
        parts = {name: tuned.part(folder, name) for name in PARTS}
    except PrudentError as error:
        to_stderr(f"whether the tuning had some of these episodes is not known: {error}")
        return Episodes(dataset, None, None, "Whether the tuning had some of these episodes is not known.")
    shared = {name: shared_episodes(dataset, part) for name, part in parts.items()}
    chosen_by = next((parts[name] for name in ("train", "evaluation") if shared[name]), False)
    return Episodes(dataset, chosen_by, shared, _sentence(dataset.n_episodes, shared))


def _sentence(count: int, shared: dict[str, int]) -> str:
    if not any(shared.values()):
        return (
            f"None of these {count:,} episodes was part of the tuning: the policy was neither trained on them nor "
            "chosen by them, so luck in the choice does not raise its value here."
        )
    listed = [f"{number:,} of its {PARTS[name]}" for name, number in shared.items() if number]
    text = f"Of these {count:,} episodes the tuning had {' and '.join(listed)}"
    if shared["train"] or shared["evaluation"]:
        return f"{text}: the policy learned from its training part, and was chosen by training and evaluation part."
    return f"{text}: the policy was neither trained on any of them nor chosen by them."


def rivals(folder: Path, population: Any, taken: Sequence[str]) -> dict[str, Any]:
    """``{"BC": ...}``, the BC that a tuning compared with; empty if it is the kept policy or the name is ``taken``."""
    from prudent.runs import checkpoint, tuned

    if population.algorithm.q_value is None or "BC" in taken:
        return {}
    place, name, acting = tuned.bc_of(folder)
    bc = checkpoint.load(place, say=to_stderr)[0]
    if name not in bc.names:
        raise PrudentError(f"{place} has no member {name}, which {folder / tuned.RESULT} names")
    rival = bc.member(bc.names.index(name))
    rival.acting = acting  # as the tuning judged it: a run of BC does not know
    return {"BC": rival}


def described(folder: Path, figures: dict[str, Any], found: Episodes) -> dict[str, Any]:
    """The figures of ``value.json`` with what the tuning has to do with these episodes, and the verdict in words."""
    from prudent.report.verdict import judge
    from prudent.runs import tuned
    from prudent.runs.read import Run

    figures = {**figures, "reading": [found.sentence, *figures["reading"]]}
    headline = judge(Run(folder, {}, status={"step": figures["step"]}, value=figures), {}).headline
    return {**figures, "tuning": {"kept": tuned.read(folder)["kept"], "shared": found.shared}, "verdict": headline}


def check(folder: Path) -> None:
    """Refuse a ``tune.json`` of which no report can be written, before anything is estimated or written.

    Raises:
        ConfigError: the tuning is not finished.
        PrudentError: the file is damaged.
    """
    from prudent.report.tuning import tune_page
    from prudent.runs import tuned
    from prudent.runs.foreign import as_written
    from prudent.tuning import TuneResult, picture

    tuned.read(folder)
    with as_written(folder / tuned.RESULT):
        result = TuneResult.load(folder)
        str(result)
        tune_page(folder, result.to_json())
        picture.figure(result)


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of a tuning again, with ``value.json`` if it is of the kept policy.

    Raises:
        ConfigError: the tuning is not finished.
        PrudentError: a file of it is damaged.
    """
    from prudent.report import tune_report
    from prudent.runs.foreign import as_written
    from prudent.tuning import TuneResult, picture

    check(folder)
    with as_written(folder):
        result = TuneResult.load(folder)
        return tune_report(folder, result.to_json(), picture.draw(result, folder / "tune.png"))
