""":func:`tune`: from a log to a verdict. Trains the grid and BC, ranks the grid, judges the winner, keeps a policy."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from prudent.data import Dataset, outcomes
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.environments.make import check_fits
from prudent.errors import ConfigError, Interrupted, PrudentError, shown
from prudent.evaluation.rollouts import evaluate_both
from prudent.files import folder_name
from prudent.report import tune_report
from prudent.runs import checkpoint
from prudent.runs.folder import check_free, create, locked, read_json, write_json
from prudent.runs.foreign import as_written, check_plain
from prudent.runs.status import incidents, is_finished
from prudent.training import start
from prudent.training.interrupts import advice_on_interrupt
from prudent.training.resume import resume
from prudent.tuning import picture, plan, saved_parts, verdict
from prudent.tuning.candidates import diverged, from_bc, from_grid
from prudent.tuning.parts import Parts, divide
from prudent.tuning.plan import Plan
from prudent.tuning.result import FILE, Candidate, Split, TuneResult, ranked
from prudent.tuning.stored_values import StoredValue, StoredValues

BC = "BC"


def tune(
    dataset: Dataset,
    out: Path | str | None = None,
    *,
    algorithm: str | None = None,
    alpha: Sequence[float] = plan.ALPHAS,
    seeds: Sequence[int] = plan.SEEDS,
    sources: Mapping[str, Any] | None = None,
    **settings: Any,
) -> TuneResult:
    """Choose alpha and a policy from a log alone, and say whether the policy is good enough to deploy.

    Episodes (or groups, if the log has a column ``group``) are divided into three parts. The grid alpha x seed is
    trained on the first part as one population, and so is BC. Each member gives one checkpoint: the last before its
    average dataset Q falls; for BC, the likeliest. Fitted Q evaluation on the first two parts ranks them: the alpha
    whose lower bounds are the highest on average wins. The third part compares the winner, BC and the behaviour policy,
    and gives the verdict. All work is stored in ``out``, so the same call continues after an interruption.

    Args:
        dataset: the log.
        out: folder to create or to continue in; None is ``tuned/NAME-ALGORITHM``.
        algorithm: any algorithm with an alpha; None is ``cql`` or ``discrete_cql``, by the kind of actions.
        alpha: values to choose from.
        seeds: training seeds of each alpha.
        sources: arguments of :func:`prudent.load_dataset` that load the log again. Only a large log needs them: the
            parts of a small one are kept in ``out``.
        settings: fields of :class:`prudent.tuning.Settings` and of the algorithm's ``Config``.

    Raises:
        ConfigError: a setting is unknown or invalid, or ``out`` holds something else.
        DataError: the data do not allow a choice; nothing has been written.
        Interrupted: a signal stopped the training; its state is saved.
    """
    request = plan.make(dataset, algorithm, alpha, seeds, settings)
    plan.check_data(dataset, request)
    sources = saved_parts.plain(sources)
    least = 2 * request.settings.final.folds
    divisions = [divide(dataset, request.settings.seed, k, least) for k in range(request.settings.splits)]
    if request.settings.env is not None:
        check_fits(request.settings.env, dataset.spec)
    folder = Path(out) if out is not None else Path("tuned") / folder_name(f"{dataset.name}-{request.algorithm}")
    content = request.to_json(dataset)
    _check_folder(folder, content)
    for warning in outcomes.warnings(dataset):
        print(warning, flush=True)
    with advice_on_interrupt(f"the same command goes on with {folder}"), locked(create(folder)):
        write_json(folder / "plan.json", content)
        saved_parts.save(folder, dataset, divisions[0], sources)
        folders = [folder if k == 0 else folder / f"split_{k + 1}" for k in range(len(divisions))]
        splits = [_split(request, parts, place) for parts, place in zip(divisions, folders, strict=True)]
        with as_written(folder / "split.json"):
            result = TuneResult(folder, content, tuple(splits), _keep(splits[0], folder))
        if request.settings.env is not None:
            result = replace(result, checked=_check_returns(result, request.settings))
        write_json(folder / FILE, result.to_json())
        with as_written(folder):
            tune_report(folder, result.to_json(), picture.draw(result, folder / "tune.png"))
            str(result)  # what comes out of stored splits can be printed, or is refused here
    return result


def _check_folder(folder: Path, content: dict[str, Any]) -> None:
    if folder.is_dir():
        check_plain(folder)
    if not (folder / "plan.json").is_file():
        check_free(folder, "choose another --out")
        return
    stored = read_json(folder / "plan.json")
    with as_written(folder / "plan.json"):
        difference = plan.difference(content, stored)
    if difference:
        raise ConfigError(f"{folder} holds another tuning: {difference}; choose another --out or delete that folder")


# --- one division of the episodes -------------------------------------------------------------------------------------


def _split(request: Plan, parts: Parts, folder: Path) -> Split:
    """All work for one division, below ``folder``; what is stored there is not done again."""
    print(parts, flush=True)
    path = folder / "split.json"
    if path.is_file():
        with as_written(path):
            return Split.from_json(read_json(path))
    candidates, imitators = _train_all(request, parts, folder)
    s, discount = request.settings, request.config.discount
    ranking = StoredValues(parts.ranking, discount, s.ranking, s.seed, folder / "ranking")
    runs = [(c, folder / "grid") for c in candidates] + [(c, folder / "bc") for c in imitators]
    valued = list(_add_values(runs, ranking))
    candidates, imitators = ranked(valued[: len(candidates)]), ranked(valued[len(candidates) :])
    winner = next((c for c in candidates if c.rank == 1), None)
    imitator = min((c for c in imitators if c.step is not None), key=lambda c: c.rank or math.inf)
    final = StoredValues(parts.final, discount, s.final, s.seed + 1, folder / "final")
    lost = outcomes.dropped_reward(parts.final)
    judgement, final_values = _judge(winner, imitator, candidates, final, folder, str(lost or ""))
    behaviour = ranking.stored(_label(imitator), imitator.step or 0)
    assert behaviour is not None
    split = Split(
        parts=parts.summary(),
        behaviour=behaviour.behaviour.summary(),
        candidates=candidates,
        imitators=imitators,
        winner=None if winner is None else winner.name,
        imitator=imitator.name,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        final=final_values,
    )
    write_json(path, asdict(split))
    return split


def _train_all(request: Plan, parts: Parts, folder: Path) -> tuple[list[Candidate], list[Candidate]]:
    """Train the grid and BC; returns their candidates."""
    grid, bc = folder / "grid", folder / "bc"
    trained = _train_grid(grid, parts.train, request)
    _train(bc, parts.train, request.imitation, request.imitators, request)
    candidates = from_grid(request, grid, parts.train) if trained else [diverged(m) for m in request.members]
    return candidates, from_bc(request, bc, parts.evaluation)


def _train_grid(folder: Path, data: Dataset, request: Plan) -> bool:
    """Train the rest of the grid; False if every member has diverged, as it would again."""
    if _all_stopped(folder, request):
        return False
    try:
        _train(folder, data, request.algorithm, request.members, request)
    except Interrupted:
        raise
    except PrudentError as error:
        if not _all_stopped(folder, request):
            raise
        print(f"{folder}: {error}", flush=True)
        return False
    return True


def _all_stopped(folder: Path, request: Plan) -> bool:
    """Whether a run ended because the guard had stopped all of its members."""
    path = folder / "status.json"
    if not path.is_file() or read_json(path).get("state") != "failed":
        return False
    stopped = {row.get("member") for row in incidents(folder, request.settings.steps) if row.get("kind") == "stopped"}
    return stopped >= {m.name for m in request.members}


def _train(folder: Path, data: Dataset, algorithm: str, members: Sequence[Member], request: Plan) -> None:
    """Train the rest of a run."""
    options = request.settings.training
    try:
        if not (folder / "config.json").is_file():
            print(f"training {algorithm}: {len(members)} members, {options.steps:,} steps", flush=True)
            start.train(start.Request(data, algorithm, members, options, folder))
            return
        if is_finished(folder):
            return
        print(f"continuing {folder}", flush=True)
        resume(folder, options.steps, data, options.device, options.threads)
    except Interrupted as error:
        raise Interrupted(f"{folder} {str(error).partition(';')[0]}; the same command goes on") from None


# --- values and verdict -----------------------------------------------------------------------------------------------


def _add_values(runs: Sequence[tuple[Candidate, Path]], ranking: StoredValues) -> Iterator[Candidate]:
    """Each candidate with its value on the ranking part; ``runs`` has the folder of each."""
    began, estimated = time.monotonic(), 0
    for number, (c, run) in enumerate(runs, 1):
        if c.step is None:
            yield c
            continue
        name = _label(c)
        is_stored = ranking.stored(name, c.step) is not None
        fqe = ranking.value(name, c.step, _loader(run, c)).fqe
        if not is_stored:
            estimated += 1
            left = timedelta(seconds=round((time.monotonic() - began) / estimated * (len(runs) - number)))
            text = f"{fqe}" if fqe.supported else f"unsupported: {fqe.reason}"
            print(f"ranking {number}/{len(runs)}  {name}, step {c.step:,}: {text}  {left} left", flush=True)
        yield replace(c, value=fqe.value, interval=fqe.interval, reason=fqe.reason)


def _label(c: Candidate) -> str:
    return c.name if c.alpha is not None else f"{BC},{c.name}"


def _loader(run: Path, c: Candidate) -> Callable[[], tuple[Population, int]]:
    def load() -> tuple[Population, int]:
        population = checkpoint.load(run / "checkpoints" / f"step_{c.step}")[0]
        return population, population.names.index(c.name)

    return load


def _judge(
    winner: Candidate | None,
    imitator: Candidate,
    candidates: Sequence[Candidate],
    final: StoredValues,
    folder: Path,
    lost: str,
) -> tuple[verdict.Judgement, dict[str, Any]]:
    """The verdict on the final part, and the values behind it."""

    def value_of(c: Candidate, run: Path) -> StoredValue:
        name = _label(c)
        if final.stored(name, c.step or 0) is None:
            print(f"estimating {name} on the final part", flush=True)
        return final.value(name, c.step or 0, _loader(run, c))

    best = None if winner is None else value_of(winner, folder / "grid")
    bc = value_of(imitator, folder / "bc")
    judgement = verdict.judge(best, bc, _why_none(candidates) if winner is None else "", lost)
    values = {
        "policy": None if best is None else best.summary,
        "bc": bc.summary,
        "differences": {name: gain.summary() for name, gain in judgement.differences.items()},
    }
    return judgement, values


def _why_none(candidates: Sequence[Candidate]) -> str:
    reasons = "; ".join(dict.fromkeys(c.reason for c in candidates if c.reason))
    return f"none of the {len(candidates)} runs of the grid can be ranked: {reasons}"


# --- afterwards -------------------------------------------------------------------------------------------------------


def _keep(split: Split, folder: Path) -> str:
    """Save the policy to deploy at ``folder/policy``; returns its name."""
    deployed = split.verdict == verdict.DEPLOY
    group, name = (split.candidates, split.winner) if deployed else (split.imitators, split.imitator)
    c = next((c for c in group if c.name == name), None)
    if c is None:
        raise PrudentError(f"{folder / 'split.json'} is damaged: it has no run {shown(name)}")
    population, member = _loader(folder / ("grid" if deployed else "bc"), c)()
    checkpoint.save_only(folder / "policy", population.member(member))
    return _label(c)


def _check_returns(result: TuneResult, settings: plan.Settings) -> dict[str, Any]:
    """Mean returns of every candidate in the environment, by name; they do not change the choice."""
    assert settings.env is not None
    returns: dict[str, float | None] = {}
    for run, group in (("grid", result.first.candidates), ("bc", result.first.imitators)):
        for step in sorted({c.step for c in group if c.step is not None}):
            population = checkpoint.load(result.folder / run / "checkpoints" / f"step_{step}")[0]
            members = evaluate_both(population, settings.env, episodes=settings.eval_episodes).summary()["members"]
            returns |= {_label(c): members[c.name]["return_mean"] for c in group if c.step == step}
    check = {"env": settings.env, "episodes": settings.eval_episodes, "returns": returns}
    return check | {"note": "a check made afterwards; it did not change the choice"}
