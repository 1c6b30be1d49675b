""":func:`tune`: from a log to a verdict. Trains the grid and BC, ranks the grid, judges the winner, keeps a policy."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from prudent.data import Dataset, logged_prob, outcomes
from prudent.data.audit import cautions
from prudent.engine.population import MODE, SAMPLE, Population
from prudent.environments.make import check_fits
from prudent.errors import ConfigError, PrudentError, shown
from prudent.evaluation.rollouts import evaluate_both
from prudent.files import folder_name
from prudent.ope import Estimate, difference
from prudent.ope.policy import has_two_ways
from prudent.progress import clock_face
from prudent.report import tune_report
from prudent.runs import checkpoint
from prudent.runs.folder import check_free, create, locked, read_json, write_json
from prudent.runs.foreign import as_written, check_plain
from prudent.training.interrupts import advice_on_interrupt
from prudent.training.start import remarks_on
from prudent.tuning import estimate, picture, plan, saved_parts, verdict
from prudent.tuning.candidates import diverged, from_bc, from_grid
from prudent.tuning.grid import Run
from prudent.tuning.growth import further_runs
from prudent.tuning.parts import Parts, divide
from prudent.tuning.plan import Plan
from prudent.tuning.result import FILE, Candidate, Split, TuneResult, ranked
from prudent.tuning.stored_values import StoredValue, StoredValues
from prudent.tuning.training import train, train_rest


def tune(
    dataset: Dataset,
    out: Path | str | None = None,
    *,
    algorithm: str | Sequence[str] | None = None,
    alpha: Sequence[float] | None = None,
    seeds: Sequence[int] = plan.SEEDS,
    sources: Mapping[str, Any] | None = None,
    **settings: Any,
) -> TuneResult:
    """Choose alpha and a policy from a log alone, and say whether the policy is good enough to deploy.

    Episodes (or groups, if the log has a column ``group``) are divided into three parts. The grid alpha x seed of each
    algorithm is trained on the first part as one population, and so is BC. Each member gives one checkpoint: the last
    before its average dataset Q falls; for BC, the likeliest. Fitted Q evaluation on the first two parts ranks them:
    the setting whose lower bounds are the highest on average wins. While that is at the edge of a grid that nobody
    chose, the grid goes on. The third part compares the winner, BC and the behaviour policy, and gives the verdict.
    All work is stored in ``out``. So the same call continues after an interruption, and other budgets for ranking and
    weighing need no training again.

    Args:
        dataset: the log.
        out: folder to create or to continue in; None is ``tuned/NAME-ALGORITHM``.
        algorithm: one or several with an alpha, a beta or a penalty to choose, of which the first is the one that BC
            shares its networks with; None is ``cql`` or ``discrete_cql``, by the kind of actions.
        alpha: values to choose from, for every algorithm that has one; None follows from the log.
        seeds: training seeds of each value.
        sources: arguments of :func:`prudent.load_dataset` that load the log again. Only a large log needs them: the
            parts of a small one are kept in ``out``.
        settings: fields of :class:`prudent.tuning.Settings` and of the algorithms' ``Config``; ``beta`` of IQL and
            ``actor_penalty`` of ReBRAC take several values, as alpha does.

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
    for line in (*remarks_on(dataset, cautions(dataset)), *request.remarks):
        print(line, flush=True)
    with advice_on_interrupt(f"the same command goes on with {folder}"), locked(create(folder)):
        write_json(folder / "plan.json", content)
        if not (folder / "bc").is_dir():
            print(estimate.text(request, divisions[0]), flush=True)
        saved_parts.save(folder, dataset, divisions[0], sources)
        folders = [folder if k == 0 else folder / f"split_{k + 1}" for k in range(len(divisions))]
        doubt = logged_prob.doubt(dataset)
        splits = [_split(request, parts, place, doubt) for parts, place in zip(divisions, folders, strict=True)]
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


def _split(request: Plan, parts: Parts, folder: Path, doubt: str) -> Split:
    """All work for one division, below ``folder``; what is stored there is not done again.

    ``doubt`` says why the log's own probabilities are not to be used; ``""`` if they may be.
    """
    print(parts, flush=True)
    path, stored_request = folder / "split.json", _request(request)
    if path.is_file():
        with as_written(path):
            content = read_json(path)
            if content.pop("request", None) == stored_request:
                return Split.from_json(content)
    s, discount = request.settings, request.discount
    part, place = parts.ranking, folder / "ranking"
    ranking = StoredValues(part, discount, s.ranking.for_log(part), s.seed, place, doubt)
    imitators = _imitators(request, parts, folder)
    candidates = _candidates(request, parts, folder, ranking)
    imitators = ranked(list(_add_values(imitators, folder, ranking)))
    winner = next((c for c in candidates if c.rank == 1), None)
    imitator = min((c for c in imitators if c.step is not None), key=lambda c: c.rank or math.inf)
    part, place = parts.final, folder / "final"
    final = StoredValues(part, discount, s.final.for_log(part), s.seed + 1, place, doubt)
    lost = outcomes.dropped_reward(parts.final)
    episodes = sum(part.n_episodes for part in (parts.train, parts.evaluation, parts.final))
    judgement, final_values = _judge(winner, imitator, candidates, final, folder, str(lost or ""), episodes)
    behaviour = ranking.stored(imitator.name, imitator.step or 0, imitator.acting)
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
        clone=judgement.clone,
        final=final_values,
    )
    write_json(path, asdict(split) | {"request": stored_request})
    return split


def _request(request: Plan) -> dict[str, Any]:
    """What the result of a division depends on and a continued tuning may change: a stored one must be the same."""
    s = request.settings
    grids = [[grid.algorithm, grid.given] for grid in request.grids]
    return {"grids": grids, "rank_steps": s.rank_steps, "final_steps": s.final_steps, "resamples": s.resamples}


def _imitators(request: Plan, parts: Parts, folder: Path) -> list[Candidate]:
    """BC, trained."""
    run = request.imitators
    train_rest(run, folder / run.folder, parts.train, request.settings.training)
    return from_bc(run, folder / run.folder, parts.evaluation)


def _candidates(request: Plan, parts: Parts, folder: Path, ranking: StoredValues) -> tuple[Candidate, ...]:
    """The runs of the grids, trained and ranked, and those beyond the edge where the winner sits."""
    runs = [request.run(grid) for grid in request.grids]
    valued: list[Candidate] = []
    while runs:
        candidates = [c for run in runs for c in _trained(run, parts, folder, request)]
        valued += _add_values(candidates, folder, ranking)
        runs = further_runs(request, valued)
    return ranked(valued)


def _trained(run: Run, parts: Parts, folder: Path, request: Plan) -> list[Candidate]:
    """The candidates of a run of a grid, after training the rest of it."""
    place = folder / run.folder
    if not train(run, place, parts.train, request.settings.training):
        return [diverged(run, member) for member in run.members]
    return from_grid(run, place, parts.train, request.settings.seed)


# --- values and verdict -----------------------------------------------------------------------------------------------


def _add_values(candidates: Sequence[Candidate], folder: Path, ranking: StoredValues) -> Iterator[Candidate]:
    """Each candidate with its value on the ranking part, acting in the better of its ways."""
    began, estimated = time.monotonic(), 0
    for number, c in enumerate(candidates, 1):
        if c.step is None:
            yield c
            continue
        ways = (MODE, SAMPLE) if has_two_ways(c.algorithm) else (MODE,)
        is_stored = all(ranking.stored(c.name, c.step, acting) is not None for acting in ways)
        valued = _in_the_better_way(
            c, {acting: ranking.value(c.name, c.step, acting, _loader(folder, c)).fqe for acting in ways}
        )
        if not is_stored:
            estimated += 1
            left = clock_face((time.monotonic() - began) / estimated * (len(candidates) - number))
            text = f"unsupported: {valued.reason}" if valued.interval is None else valued.figures
            # The first one also learns the features, so it says nothing about the others.
            time_left = "" if estimated == 1 else f"  {left} left"
            print(f"ranking {number}/{len(candidates)}  {c.name}, step {c.step:,}: {text}{time_left}", flush=True)
        yield valued


def _in_the_better_way(c: Candidate, values: Mapping[str, Estimate]) -> Candidate:
    """By the likeliest action, unless drawing is shown to be better or is the only way that has a value."""
    mode, sample = values[MODE], values.get(SAMPLE)
    draws = sample is not None and sample.supported and (not mode.supported or difference(sample, mode).sign == 1)
    own, other = (sample, mode) if draws and sample is not None else (mode, sample)
    acting = SAMPLE if draws else MODE
    return replace(
        c,
        value=own.value,
        interval=own.interval,
        reason=own.reason,
        acting=acting,
        other=None if other is None else other.value,
    )


def _loader(folder: Path, c: Candidate) -> Callable[[], tuple[Population, int]]:
    """Loads a candidate of the division in ``folder``: its population, and the number of its member."""

    def load() -> tuple[Population, int]:
        population = checkpoint.load(folder / c.run / "checkpoints" / f"step_{c.step}")[0]
        return population, population.names.index(c.member)

    return load


def _judge(
    winner: Candidate | None,
    imitator: Candidate,
    candidates: Sequence[Candidate],
    final: StoredValues,
    folder: Path,
    lost: str,
    episodes: int,
) -> tuple[verdict.Judgement, dict[str, Any]]:
    """The verdict on the final part, and the values behind it."""

    def value_of(c: Candidate) -> StoredValue:
        if final.stored(c.name, c.step or 0, c.acting) is None:
            print(f"weighing {c.name} on the final part", flush=True)
        return final.value(c.name, c.step or 0, c.acting, _loader(folder, c))

    best = None if winner is None else value_of(winner)
    bc = value_of(imitator)
    judgement = verdict.judge(best, bc, _why_none(candidates) if winner is None else "", lost, episodes)
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


def _keep(split: Split, folder: Path) -> str | None:
    """Save the policy to keep at ``folder/policy``; returns its name. Without one, ``policy`` is removed."""
    kept = split.kept
    if kept is None:
        if split.verdict != verdict.KEEP_LOG:
            raise PrudentError(f"{folder / 'split.json'} is damaged: it has no run {shown(split.winner)}")
        shutil.rmtree(folder / "policy", ignore_errors=True)
        return None
    population, member = _loader(folder, kept)()
    policy = population.member(member)
    policy.acting = kept.acting
    checkpoint.save_only(folder / "policy", policy)
    return kept.name


def _check_returns(result: TuneResult, settings: plan.Settings) -> dict[str, Any]:
    """Mean returns of every candidate in the environment, by name; they do not change the choice."""
    assert settings.env is not None
    returns: dict[str, float | None] = {}
    candidates = (*result.first.candidates, *result.first.imitators)
    for run, step in sorted({(c.run, c.step) for c in candidates if c.step is not None}):
        population = checkpoint.load(result.folder / run / "checkpoints" / f"step_{step}")[0]
        members = evaluate_both(population, settings.env, episodes=settings.eval_episodes).summary()["members"]
        returns |= {c.name: members[c.member]["return_mean"] for c in candidates if (c.run, c.step) == (run, step)}
    check = {"env": settings.env, "episodes": settings.eval_episodes, "returns": returns}
    return check | {"note": "a check made afterwards; it did not change the choice"}
