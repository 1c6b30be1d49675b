"""Going on from a trained policy, with new or grown data: what stays, what is new, and what cannot go on.

Weights, the number of the step and random states always go on. The scaling of observations and Adam's moments do too,
unless :class:`GoOn` says otherwise. On the same data that is as if the first training had not stopped, bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from prudent.algorithms.shared.updates import adam_states
from prudent.config import AUTO, check_names, from_json, to_json
from prudent.data import Dataset
from prudent.data.columns import check_bounds
from prudent.data.encoding import check_same
from prudent.engine import rescale, windows
from prudent.engine.members import Member, with_reward_scales
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError
from prudent.runs import checkpoint, tuned
from prudent.runs.folder import folder_of

SCALINGS, OPTIMIZERS = ("old", "new"), ("kept", "fresh")

CONTINUED = "continued_from"
"""The key of ``config.json`` that says where the policy of a run comes from."""

FIRST_ONLY = ("value_init", "value_init_steps", "orthogonal_init", "temperature")
"""Settings that only say how the first step begins."""


@dataclass(frozen=True)
class GoOn:
    """How a training goes on.

    Attributes:
        scaling: of observations and rewards: ``old``, that of the first training, or ``new``, taken from these data.
            Policies and values are the same with either when training begins.
        optimizer: Adam's moments: ``kept``, or ``fresh``, which is zero.
        settings: settings that change from here on, for all members.
        origin: where the policy comes from, for ``config.json``.
    """

    scaling: str = "old"
    optimizer: str = "kept"
    settings: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name, choices in (("scaling", SCALINGS), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} must be {' or '.join(choices)}, got {getattr(self, name)!r}")

    def check_unused(self) -> None:
        """Refuse choices that a training from new weights would ignore.

        Raises:
            ConfigError: one differs from its default.
        """
        if (self.scaling, self.optimizer) != (GoOn.scaling, GoOn.optimizer):
            raise ConfigError("scaling and optimizer: only with warm_start, as new weights have neither")

    def described(self, population: Population) -> dict[str, Any]:
        """``continued_from`` in ``config.json``."""
        return {
            **self.origin,
            "step": population.state.step,
            "scaling": self.scaling,
            "optimizer": self.optimizer,
            "settings": {name: to_json(population.members[0].config)[name] for name in self.settings},
        }

    def sentences(self, population: Population) -> list[str]:
        """What the user should know before the first step, a line each."""
        said = f"goes on from step {population.state.step}"
        if "run" in self.origin:
            said += f" of {self.origin['run']}"
        scaling = "that of the first training" if self.scaling == "old" else "taken anew from these data"
        optimizer = "goes on" if self.optimizer == "kept" else "starts afresh"
        return [f"{said}: {', '.join(population.names)}", f"scaling is {scaling}; the optimiser {optimizer}"]


def origin_of(path: Path | None, step: int) -> dict[str, Any]:
    """Which run and checkpoint a policy of ``step`` comes from, for ``config.json``; nothing for None.

    ``path`` is a run folder, a tuned folder, a saved agent or one checkpoint.

    Raises:
        PrudentError: a tuned folder keeps no policy any more.
    """
    if path is None:
        return {}
    path = path.resolve()
    folder = tuned.policy_of(path) if tuned.is_tuned(path) else path
    place = folder if (folder / checkpoint.MANIFEST).is_file() else folder / "checkpoints" / f"step_{step}"
    origin = {"run": str(folder_of(path) or path), "checkpoint": place.name}
    if (place / checkpoint.MANIFEST).is_file():
        origin["sha256"] = checkpoint.digest(place)
    return origin


def prepared(population: Population, dataset: Dataset, plan: GoOn, device: torch.device | str) -> Population:
    """A copy of a trained population, ready to go on with ``dataset`` as ``plan`` says.

    Raises:
        DataError: the data do not fit, see :func:`check_fits_training`.
        ConfigError: a setting cannot change, a member has diverged, or ``n_steps`` does not fit the data.
    """
    check_fits_training(population, dataset)
    members = _changed(population.members, plan)
    warmup, step = plan.settings.get("bc_warmup_steps"), population.state.step
    if warmup is not None and warmup <= step:
        raise ConfigError(
            f"bc_warmup_steps counts from the first step of all: give more than {step}, where training goes on"
        )
    members = windows.fitted_to(dataset, members)
    members = _with_reward_scales(members, dataset, plan)
    before, after = ([m.config.reward_scale for m in each] for each in (population.members, members))
    if after != before and plan.optimizer == "kept":
        raise ConfigError(
            f"reward_scale changes from {before[0]:.4g} to {after[0]:.4g}, so gradients have another size: "
            "let the optimiser start afresh (optimizer: fresh)"
        )
    ready = _copy(population, members, plan, device)
    ready.scaling = replace(ready.scaling, outside_range=members[0].config.outside_range)
    if plan.scaling == "new":
        # Bounds stay those of the first training, whatever these data declare.
        bounded = dataset.relabelled(spec=population.spec)
        rescale.use_scaling(ready, Scaling.fit(bounded, members[0].config.normalize_observations))
    else:
        ready.scaling = ready.scaling.widened(dataset)
    if after != before:
        rescale.scale_values(ready.state.networks, torch.tensor(after) / torch.tensor(before))
    if plan.optimizer == "fresh":
        ready.state.optimizers |= adam_states(ready.state.networks, list(ready.state.optimizers))
    return ready


def _changed(members: Sequence[Member], plan: GoOn) -> list[Member]:
    """The members with the settings that change.

    Raises:
        ConfigError: one does not exist, is out of its range, is what members differ in, or would change nothing.
    """
    config_type = type(members[0].config)
    check_names(config_type, plan.settings)
    for name in plan.settings:
        if name in FIRST_ONLY:
            raise ConfigError(f"{name} says how a first training begins: it cannot change when one goes on")
    if "normalize_observations" in plan.settings and plan.scaling == "old":
        raise ConfigError("normalize_observations changes the scaling: ask for the new one (scaling new)")
    changed = []
    for member in members:
        config = from_json(config_type, to_json(member.config) | dict(plan.settings))
        changed.append(Member(_name(member.name, plan.settings), member.seed, config))
    if len({member.name for member in changed}) < len(changed):
        varied = next(name for name in plan.settings if len({getattr(m.config, name) for m in members}) > 1)
        raise ConfigError(f"members differ in {varied}: pick one, or leave {varied} out")
    return changed


def _name(name: str, settings: Mapping[str, Any]) -> str:
    """A member's name without the settings that are no longer what it says."""
    return ",".join(part for part in name.split(",") if part.partition("=")[0] not in settings)


def _with_reward_scales(members: list[Member], dataset: Dataset, plan: GoOn) -> list[Member]:
    """The members with a reward scale that follows from these data, where that is asked for."""
    if plan.settings.get("reward_scale") == AUTO:
        return with_reward_scales(members, dataset)
    follows = getattr(members[0].config, "return_range", None) is not None
    if follows and (plan.scaling == "new" or "return_range" in plan.settings):
        bare = [replace(m, config=replace(m.config, reward_scale=1.0)) for m in members]
        return with_reward_scales(bare, dataset)
    return members


def _copy(population: Population, members: Sequence[Member], plan: GoOn, device: torch.device | str) -> Population:
    """The population with other settings.

    Raises:
        ConfigError: they make other networks.
    """
    parts = population.algorithm_name, members, population.spec, population.scaling, device
    copied = Population(*parts, acting=population.acting)
    try:
        copied.restore(population.tensors(), population.state.step)
    except ConfigError as error:
        if not plan.settings:
            raise
        names = ", ".join(plan.settings)
        raise ConfigError(f"{names}: this makes other networks than those that go on; train anew for that") from error
    return copied


def chosen(population: Population, names: Sequence[str], path: Path | str) -> Population:
    """The members of ``names``, or all; ``path`` is where they come from.

    Raises:
        ConfigError: there is no such member, one is named twice, or one has diverged.
    """
    for name in names:
        if name not in population.names:
            raise ConfigError(f"{path} has no member {name}; it has {', '.join(population.names)}")
    if len(set(names)) < len(names):
        raise ConfigError("a member is named twice")
    picked = population if not names else _subset(population, [population.names.index(name) for name in names])
    lost = diverged(picked)
    if lost:
        raise ConfigError(f"{path}: {', '.join(lost)} has diverged, so there is nothing to go on from: name others")
    return picked


def _subset(population: Population, indices: Sequence[int]) -> Population:
    """A population of some members, with their part of the state."""
    parts = population.algorithm_name, [population.members[i] for i in indices], population.spec, population.scaling
    subset = Population(*parts, population.device, acting=population.acting)
    # Adam's step count is common to all members.
    tensors = {name: t if t.dim() == 0 else t[list(indices)] for name, t in population.tensors().items()}
    subset.restore(tensors, population.state.step)
    return subset


def diverged(population: Population) -> list[str]:
    """The members whose weights are not finite."""
    weights = [t for network in population.state.networks.values() for t in network.values()]
    sound_P = torch.stack([t.isfinite().reshape(len(t), -1).all(1) for t in weights]).all(0).tolist()
    return [name for name, sound in zip(population.names, sound_P, strict=True) if not sound]


def check_fits_training(population: Population, dataset: Dataset) -> None:
    """Refuse data that a trained population cannot go on with.

    Raises:
        DataError: sizes, kinds or names of columns differ, or an action lies outside the bounds that the networks were
            trained for.
    """
    check_same(population.scaling.encoding, dataset.meanings.encoding, dataset.name, "what was trained")
    spec = population.spec
    difference = spec.difference_from(replace(dataset.spec, action_low=spec.action_low, action_high=spec.action_high))
    if difference:
        raise DataError(f"{dataset.name} does not fit what was trained: {difference}")
    if spec.discrete:
        return
    if spec.action_low is None:
        # As Scaling.fit takes them.
        spec = replace(spec, action_low=(-1.0,) * spec.action_size, action_high=(1.0,) * spec.action_size)
    try:
        check_bounds(dataset.action, spec, dataset.name)
    except DataError as error:
        raise DataError(f"{error}; they are those of the first training: fit anew to change them") from error
