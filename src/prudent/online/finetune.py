"""A finished run goes on in its environment. Half of each batch comes from its dataset, half from new transitions.

This is the protocol of Cal-QL (Nakamoto et al. 2023, arXiv 2303.05479), for every algorithm that learns from rewards.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from prudent.config import reorder_fields
from prudent.data import Dataset, outcomes
from prudent.data.encoding import check_same
from prudent.engine.batches import Source
from prudent.engine.loop import memory_line
from prudent.engine.options import Options
from prudent.engine.population import Population
from prudent.engine.process import prepare_process
from prudent.environments.make import check_fits
from prudent.errors import ConfigError
from prudent.evaluation import rollouts
from prudent.nn.rng import MemberRng
from prudent.online.explorers import Explorer
from prudent.online.interaction import Interaction
from prudent.online.replay_buffer import ReplayBuffer, check_memory
from prudent.progress import Wait
from prudent.runs import checkpoint, loggers, tuned
from prudent.runs.begin import begin_run
from prudent.runs.folder import check_free, create, dataset_of, locked, read_run
from prudent.runs.status import check_ended
from prudent.training.recorder import Recorder
from prudent.training.session import session
from prudent.types import Batch, Next, Step, Totals

SPREAD = 0.1
"""Default exploration of deterministic policies; see :class:`prudent.online.explorers.Explorer`."""


@partial(reorder_fields, names=("steps", "env", "mix", "updates_per_step", "start_after", "noise"))
@dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """How to learn online: the options of every training, and these. Steps are environment steps of a member."""

    steps: int = 100_000  # environment steps of each member
    env: str | None = None  # Gymnasium id; none uses the environment of the run
    mix: float = 0.5  # share of each batch that is drawn from the dataset
    updates_per_step: int = 1  # gradient steps per environment step
    start_after: int | None = None  # environment steps before the first gradient step; none: a tenth, at most 1000
    noise: float | None = None  # exploration noise added to the policy; none: 0.1 if it is deterministic, else 0
    max_minutes: float | None = None  # save and stop after this many minutes; none is no limit

    def __post_init__(self):
        if self.steps < 2:
            raise ConfigError(f"finetune: steps must be 2 or more, as exploring comes first, got {self.steps}")
        self.check()
        if self.updates_per_step < 1:
            raise ConfigError(f"finetune: updates_per_step must be 1 or more, got {self.updates_per_step}")
        if not 0 <= self.mix <= 1:
            raise ConfigError(f"finetune: mix must lie within [0, 1], got {self.mix:g}")
        if self.noise is not None and not 0 <= self.noise <= 1:
            raise ConfigError(f"finetune: noise must lie within [0, 1], got {self.noise:g}")
        if not 1 <= self.waits < self.steps:
            raise ConfigError(f"finetune: start_after must lie between 1 and {self.steps - 1}, got {self.waits}")

    @property
    def waits(self) -> int:
        """Environment steps before the first gradient step."""
        return min(1_000, max(1, self.steps // 10)) if self.start_after is None else self.start_after

    def options(self, start: int, env: str) -> Options:
        """The same as options of the recorder, which counts gradient steps from ``start`` on."""
        shared = {f.name: getattr(self, f.name) for f in fields(Options) if f.name != "env"}
        for name in ("log_every", "eval_every", "checkpoint_every"):
            shared[name] *= self.updates_per_step
        shared["steps"] = start + (self.steps - self.waits) * self.updates_per_step
        return Options(**shared, env=env)


class Mixture:
    """Batches whose first rows come from a dataset and the others from a buffer.

    A member without rows in the buffer gets rows of the dataset only.
    """

    def __init__(self, offline: Source, buffer: ReplayBuffer, share: float):
        self.offline, self.buffer, self.share = offline, buffer, share

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...)."""
        old = self.offline.sample(rng, batch_size)
        n_old = round(self.share * batch_size)
        if n_old == batch_size:
            return old
        new = self.buffer.sample(rng, batch_size - n_old)
        ready_P = torch.from_numpy(self.buffer.ready > 0).to(old.reward.device)
        return _merged(old, new, n_old, ready_P)


T = TypeVar("T", Batch, Step, Next)


def _merged(old: T, new: T, n_old: int, ready_P: Tensor) -> T:
    """The first ``n_old`` rows of one and the other's, in every column."""
    columns: dict[str, Any] = {}
    for f in fields(old):
        a, b = getattr(old, f.name), getattr(new, f.name)
        if isinstance(a, Next):
            columns[f.name] = _merged(a, b, n_old, ready_P)
        elif f.name == "window":
            columns[f.name] = tuple(_merged(one, other, n_old, ready_P) for one, other in zip(a, b, strict=True))
        else:
            columns[f.name] = _merge(a, b, n_old, ready_P)
    return replace(old, **columns)


def _merge(old: Tensor | None, new: Tensor | None, n_old: int, ready_P: Tensor) -> Tensor | None:
    """(P, B, ...): ``n_old`` old rows, then the new ones. Members that are not ready get old rows only."""
    if old is None and new is None:
        return None
    # Only masks may be missing on one side. That side allows every action.
    if old is None:
        assert new is not None
        old = torch.ones((len(new), n_old + new.shape[1], *new.shape[2:]), dtype=new.dtype, device=new.device)
    if new is None:
        new = torch.ones_like(old[:, n_old:])
    ready = ready_P.reshape(-1, *(1,) * (new.ndim - 1))
    return torch.cat([old[:, :n_old], torch.where(ready, new, old[:, n_old:])], dim=1)


def finetune(run: Path | str, settings: Settings, out: Path | str, dataset: Dataset | None = None) -> Population:
    """Go on with all members of ``run`` in their environment, and leave a complete run folder at ``out``.

    Steps are counted on from those of the run. The first evaluation is of the policies as they came. If a signal stops
    the run, its policy is saved.

    Args:
        run: a finished run folder, or a tuned one.
        settings: how to go on.
        out: the run folder to create.
        dataset: what the run was trained on; None loads it again from where it was.

    Raises:
        ConfigError: the folder is taken, the algorithm does not learn from rewards, environment, data and run do not
            fit each other, or the run has not ended.
        PrudentError: ``run`` is no run folder.
        Interrupted: a signal stopped it, after saving.
    """
    run, folder = Path(run), Path(out)
    taken = f"choose another folder; {folder} is not overwritten"
    check_free(folder, taken)
    loggers.check(settings.logger)
    member_of = tuned.run_of(run)[0] if tuned.is_tuned(run) else run
    stored = read_run(member_of)
    check_ended(member_of)
    population, _ = checkpoint.load(run, str(prepare_process(settings.options(0, ""))), print)
    if population.algorithm.q_value is None:
        name = population.algorithm_name
        raise ConfigError(f"finetune: {name} does not learn from rewards, so it would not change: fine-tune another")
    env = settings.env or tuned.environment_of(run)
    check_fits(env, population.spec, "the policy")
    if dataset is None and member_of != run:
        dataset = tuned.part(run, "train")
    data = dataset_of(member_of, stored, dataset)
    check_same(population.scaling.encoding, data.meanings.encoding, data.name, "what was trained")
    if "dt" in data.extra:
        raise ConfigError(f"finetune: {data.name} has steps of different length (dt), those online have one")
    options = settings.options(population.state.step, env)
    check_memory(population, settings.steps)
    rollouts.check_memory(population.size, options.eval_episodes)
    with locked(create(folder)):
        check_free(folder, taken)
        sources = {"sources": stored["train"].get("sources")}
        origin = {"run": str(run.resolve()), "step": population.state.step}
        online = _online_settings(settings)
        problems = outcomes.warnings(data)
        for problem in problems:
            print(problem, flush=True)
        begin_run(folder, population, data, asdict(options) | sources, problems, finetuned_from=origin, online=online)
        with session(population, data, options, folder, f"start anew with: prudent finetune {run}") as recorder:
            _learn(population, data, settings, env, recorder)
        return population


def _online_settings(settings: Settings) -> Mapping[str, Any]:
    """The settings that the recorder's options do not have."""
    shared = {f.name for f in fields(Options)} - {"steps"}
    return {name: value for name, value in asdict(settings).items() if name not in shared}


def _learn(population: Population, dataset: Dataset, settings: Settings, env: str, recorder: Recorder) -> None:
    """The online loop: each member makes a step in its environment, then the gradient steps follow."""
    offline, _ = population.prepare(dataset)
    recorder.say(memory_line(population, offline))
    buffer = ReplayBuffer(population, settings.steps)
    mixture = Mixture(offline, buffer, settings.mix)
    seeds = [member.seed for member in population.members]
    needs_noise = population.algorithm.POLICY in ("deterministic", "greedy")
    spread = settings.noise if settings.noise is not None else SPREAD if needs_noise else 0.0
    explorer = Explorer(population, seeds, spread)
    # The policies as they came: the curve begins here, and this checkpoint is left if learning online harms them.
    recorder.evaluate(population.state.step, env)
    recorder.save()
    # From here on the policies learn what lies beyond the range of the log.
    population.scaling = replace(population.scaling, observation_range=None)
    recorder.began({})
    exploring = Wait("exploring before the first gradient step", settings.waits, "steps")
    with Interaction(env, seeds) as interaction:
        for step in range(1, settings.steps + 1):
            buffer.add(interaction.step(explorer))
            recorder.heed_requests(population.state.step)
            if step <= settings.waits:
                exploring.update(step)
            else:
                exploring.close()
                for _ in range(settings.updates_per_step):
                    metrics = population.step(mixture)
                    recorder.stepped(population.state.step, Totals.of(metrics))
