"""From a log to a verdict: train the grid, take a checkpoint of each run, rank, weigh again, judge, keep."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from prudent.data import Dataset
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.environments.make import check_fits
from prudent.errors import ConfigError, Interrupted, PrudentError
from prudent.evaluation.rollouts import evaluate_both
from prudent.files import folder_name
from prudent.report import tune_report
from prudent.runs import checkpoint
from prudent.runs.folder import check_free, create, locked, read_json, write_json
from prudent.runs.status import incidents, is_finished
from prudent.training import start
from prudent.training.interrupts import advice_on_interrupt
from prudent.training.resume import resume
from prudent.tuning import picture, plan, verdict
from prudent.tuning.candidates import diverged, from_bc, from_grid
from prudent.tuning.parts import Parts, divide
from prudent.tuning.plan import Plan
from prudent.tuning.result import FILE, Candidate, Split, TuneResult, ranked
from prudent.tuning.stored_values import Scales, Worth

BC = "BC"


def tune(
    dataset: Dataset,
    out: Path | str | None = None,
    *,
    algorithm: str | None = None,
    alpha: Sequence[float] = plan.ALPHAS,
    seeds: Sequence[int] = plan.SEEDS,
    **settings: Any,
) -> TuneResult:
    """Choose alpha and a policy from a log alone, and say whether it is good enough to deploy.

    Episodes (or groups, where the log has a column ``group``) are divided into three parts. On the first the grid
    alpha x seed is trained as one population, and BC; on the first two each run's checkpoint (the peak of its average
    dataset Q) is weighed by fitted Q evaluation, and the alpha taken whose lower bounds are the highest on average; on
    the third the winner, BC and the behaviour are weighed against each other, and the verdict falls. What was done is
    kept in ``out``, and the same call goes on.

    Args:
        dataset: the log.
        out: folder to create, or to go on in; None is ``tuned/NAME-ALGORITHM``.
        algorithm: any with an alpha; None is ``cql`` or ``discrete_cql``, as the actions are.
        alpha: values to choose from.
        seeds: runs of each.
        settings: fields of :class:`prudent.tuning.Settings` and of the algorithm's ``Config``.

    Raises:
        ConfigError: settings do not exist or fit, or ``out`` holds something else.
        DataError: nothing can be chosen from the data; nothing has been written then.
        Interrupted: a signal stopped the training, after saving.
    """
    asked = plan.make(dataset, algorithm, alpha, seeds, settings)
    plan.check_data(dataset, asked)
    least = 2 * asked.settings.final.folds
    divisions = [divide(dataset, asked.settings.seed, k, least) for k in range(asked.settings.splits)]
    if asked.settings.env is not None:
        check_fits(asked.settings.env, dataset.spec)
    folder = Path(out) if out is not None else Path("tuned") / folder_name(f"{dataset.name}-{asked.algorithm}")
    described = asked.to_json(dataset)
    _check_folder(folder, described)
    with advice_on_interrupt(f"the same command goes on with {folder}"), locked(create(folder)):
        write_json(folder / "plan.json", described)
        places = [folder if k == 0 else folder / f"split_{k + 1}" for k in range(len(divisions))]
        splits = [_split(asked, parts, place) for parts, place in zip(divisions, places, strict=True)]
        result = TuneResult(folder, described, tuple(splits), _keep(splits[0], folder))
        if asked.settings.env is not None:
            result = replace(result, checked=_checked(result, asked.settings))
        write_json(folder / FILE, result.to_json())
        tune_report(folder, result.to_json(), picture.draw(result, folder / "tune.png"))
    return result


def _check_folder(folder: Path, described: dict[str, Any]) -> None:
    if not (folder / "plan.json").is_file():
        check_free(folder, "choose another --out")
        return
    told = plan.difference(described, read_json(folder / "plan.json"))
    if told:
        raise ConfigError(f"{folder} was tuned otherwise: {told}; choose another --out or delete that folder")


# --- one division of the episodes -------------------------------------------------------------------------------------


def _split(asked: Plan, parts: Parts, folder: Path) -> Split:
    """Everything for one division, below ``folder``; what is there already is not done again."""
    print(parts, flush=True)
    path = folder / "split.json"
    if path.is_file():
        return Split.from_json(read_json(path))
    grid, bc = folder / "grid", folder / "bc"
    trained = _train_grid(grid, parts.train, asked)
    _train(bc, parts.train, asked.imitation, asked.imitators, asked)
    s, discount = asked.settings, asked.config.discount
    scales = Scales(parts.ranking, discount, s.ranking, s.seed, folder / "ranking")
    chosen = from_grid(asked, grid, parts.train) if trained else [diverged(m) for m in asked.members]
    imitators = from_bc(asked, bc, parts.evaluation)
    weighed = list(_weigh([(c, grid) for c in chosen] + [(c, bc) for c in imitators], scales))
    candidates, imitators = ranked(weighed[: len(chosen)]), ranked(weighed[len(chosen) :])
    winner = next((c for c in candidates if c.rank == 1), None)
    imitator = min((c for c in imitators if c.step is not None), key=lambda c: c.rank or math.inf)
    final = Scales(parts.final, discount, s.final, s.seed + 1, folder / "final")
    judged, about = _judge(winner, imitator, candidates, final, folder)
    split = Split(
        parts=parts.summary(),
        behaviour=_behaviour(scales, imitator),
        candidates=candidates,
        imitators=imitators,
        winner=None if winner is None else winner.name,
        imitator=imitator.name,
        verdict=judged.verdict,
        reasons=judged.reasons,
        final=about,
    )
    write_json(path, asdict(split))
    return split


def _train_grid(folder: Path, data: Dataset, asked: Plan) -> bool:
    """Train what is left of the grid; False where every member of it has diverged, as it would again."""
    if _all_stopped(folder, asked):
        return False
    try:
        _train(folder, data, asked.algorithm, asked.members, asked)
    except Interrupted:
        raise
    except PrudentError as error:
        if not _all_stopped(folder, asked):
            raise
        print(f"{folder}: {error}", flush=True)
        return False
    return True


def _all_stopped(folder: Path, asked: Plan) -> bool:
    """Whether a run ended because the guard had stopped all of its members."""
    path = folder / "status.json"
    if not path.is_file() or read_json(path).get("state") != "failed":
        return False
    stopped = {row.get("member") for row in incidents(folder, asked.settings.steps) if row.get("kind") == "stopped"}
    return stopped >= {m.name for m in asked.members}


def _train(folder: Path, data: Dataset, algorithm: str, members: Sequence[Member], asked: Plan) -> None:
    """Train what is left of a run."""
    options = asked.settings.training
    try:
        if not (folder / "config.json").is_file():
            print(f"training {algorithm}: {len(members)} members, {options.steps:,} steps", flush=True)
            start.train(start.Request(data, algorithm, members, options, folder))
            return
        if is_finished(folder):
            return
        print(f"going on with {folder}", flush=True)
        resume(folder, options.steps, data, options.device, options.threads)
    except Interrupted as error:
        raise Interrupted(f"{folder} {str(error).partition(';')[0]}; the same command goes on") from None


def _weigh(candidates: Sequence[tuple[Candidate, Path]], scales: Scales) -> Iterator[Candidate]:
    """Each candidate with its value on the part that ranks."""
    began, fresh = time.monotonic(), 0
    for number, (c, run) in enumerate(candidates, 1):
        if c.step is None:
            yield c
            continue
        name = _label(c)
        known = scales.known(name, c.step)
        worth = known or scales.weigh(name, c.step, _loader(run, c))
        if known is None:
            fresh += 1
            left = (time.monotonic() - began) / fresh * (len(candidates) - number)
            told = f"{worth.fqe}" if worth.fqe.supported else f"unsupported: {worth.fqe.reason}"
            print(
                f"ranking {number}/{len(candidates)}  {name}, step {c.step:,}: {told}  {_clock(left)} left", flush=True
            )
        yield replace(c, value=worth.fqe.value, interval=worth.fqe.interval, reason=worth.fqe.reason)


def _label(c: Candidate) -> str:
    return c.name if c.alpha is not None else f"{BC},{c.name}"


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))


def _loader(run: Path, c: Candidate) -> Callable[[], tuple[Population, int]]:
    def load() -> tuple[Population, int]:
        population = checkpoint.load(run / "checkpoints" / f"step_{c.step}")[0]
        return population, population.names.index(c.name)

    return load


def _behaviour(scales: Scales, imitator: Candidate) -> dict[str, Any]:
    worth = scales.known(_label(imitator), imitator.step or 0)
    assert worth is not None
    return worth.behaviour.summary()


def _judge(
    winner: Candidate | None, imitator: Candidate, candidates: Sequence[Candidate], final: Scales, folder: Path
) -> tuple[verdict.Judgement, dict[str, Any]]:
    """The verdict on the final part, and the figures that it rests on."""

    def weigh(c: Candidate, run: Path) -> Worth:
        name = _label(c)
        if final.known(name, c.step or 0) is None:
            print(f"weighing {name} again on the final part", flush=True)
        return final.weigh(name, c.step or 0, _loader(run, c))

    best = None if winner is None else weigh(winner, folder / "grid")
    bc = weigh(imitator, folder / "bc")
    judged = verdict.judge(best, bc, _why_none(candidates) if winner is None else "")
    about = {
        "policy": None if best is None else best.summary,
        "bc": bc.summary,
        "differences": {name: gain.summary() for name, gain in judged.differences.items()},
    }
    return judged, about


def _why_none(candidates: Sequence[Candidate]) -> str:
    reasons = "; ".join(dict.fromkeys(c.reason for c in candidates if c.reason))
    return f"none of the {len(candidates)} runs of the grid can be ranked: {reasons}"


# --- afterwards -------------------------------------------------------------------------------------------------------


def _keep(split: Split, folder: Path) -> str:
    """Save what is to be deployed below ``folder/policy``; returns its name."""
    deployed = split.verdict == verdict.DEPLOY
    group, name = (split.candidates, split.winner) if deployed else (split.imitators, split.imitator)
    c = next(c for c in group if c.name == name)
    population, member = _loader(folder / ("grid" if deployed else "bc"), c)()
    checkpoint.save_only(folder / "policy", population.member(member))
    return _label(c)


def _checked(result: TuneResult, settings: plan.Settings) -> dict[str, Any]:
    """Mean returns of every candidate's checkpoint in the environment, by name; nothing was chosen by them."""
    assert settings.env is not None
    returns: dict[str, float | None] = {}
    for run, group in (("grid", result.first.candidates), ("bc", result.first.imitators)):
        for step in sorted({c.step for c in group if c.step is not None}):
            own = [c for c in group if c.step == step]
            population = checkpoint.load(result.folder / run / "checkpoints" / f"step_{step}")[0]
            members = evaluate_both(population, settings.env, episodes=settings.eval_episodes).summary()["members"]
            returns |= {_label(c): members[c.name]["return_mean"] for c in own}
    about = {"env": settings.env, "episodes": settings.eval_episodes, "returns": returns}
    return about | {"note": "a check made afterwards; it chose nothing"}
