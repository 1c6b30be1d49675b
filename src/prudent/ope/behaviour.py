"""Who made the log: a model of the behaviour's actions, cross-fitted over episodes.

Discrete actions: a classifier, its logits divided by a temperature that held-out episodes choose (Guo et al. 2017,
arXiv 1706.04599). Continuous actions: a mixture of tanh-Gaussians. One model per fold, on the population axis; each
speaks of the episodes that it was not fitted to. Training keeps the parameters that were best on held-out episodes.

Probabilities that the log itself carries take the model's place in the weights; the model still says how calibrated
it is and where a policy leaves the data.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prudent import nn
from prudent.data import Dataset
from prudent.data.columns import counted
from prudent.engine.scaling import Scaling
from prudent.errors import DataError
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.ope.calibration import Calibration, expected_calibration_error, transform_error
from prudent.ope.policy import ROWS
from prudent.ope.settings import Settings
from prudent.types import Params

COLUMNS = ("behavior_log_prob", "behaviour_log_prob")
"""Column with the log's own log-probability of each action (log-density in the log's units), as readers name it, and
the other spelling."""

CHECK_EVERY = 100
DEFENSIVE = 0.05
"""Weight of a component as broad as all actions together (a defensive mixture: Hesterberg 1995): a model that is sure
and wrong of a single action would otherwise hand its episode all the weight."""
HELD_OUT = 5
"""Every fifth of a fold's episodes (or groups) is held out, to stop and for the temperature."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The behaviour of a dataset. ``log_prob`` (rows,) of the logged actions is the log's own where it has them."""

    log_prob: np.ndarray
    source: str
    calibration: Calibration
    fitted: "Cross"
    threshold: float
    """The log-density that 99 % of logged actions exceed, under models that did not see them."""

    def outside(self, policy_actions: np.ndarray) -> np.ndarray:
        """Share of the policy's actions at each row that are rarer than nearly all logged ones, (rows,).

        ``policy_actions``: probabilities (rows, A) of a discrete policy, or draws (rows, N, A) of a continuous one.
        """
        log_prob = self.fitted.log_prob(policy_actions)
        rare = log_prob < self.threshold
        if self.fitted.dataset.spec.discrete:
            return (policy_actions * rare).sum(axis=1)
        return rare.mean(axis=1)


def logged_log_prob(dataset: Dataset) -> np.ndarray | None:
    """The log's own log-probability of each action, (rows,) float64; None where it has none.

    Raises:
        DataError: one is no number or stands for a probability of zero or above one, or both spellings are there.
    """
    found = [name for name in COLUMNS if name in dataset.extra]
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"{dataset.name}: has both {found[0]} and {found[1]}, the same in two spellings: leave one out")
    column = np.asarray(dataset.extra[found[0]])
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1 or column.dtype.kind not in "fiu":
        raise DataError(f"{dataset.name}: {found[0]} must be one number per row, the logarithm of a probability")
    log_prob = column.astype(np.float64)
    limit = 1e-6 if dataset.spec.discrete else math.inf
    for what, wrong in {
        "is not a number": np.isnan(log_prob),
        "says that an action that was taken had probability zero": log_prob == -math.inf,
        "is a probability above one; natural logarithms of probabilities are wanted": log_prob > limit,
        "is infinite": log_prob == math.inf,
    }.items():
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{dataset.name}: {found[0]} {what} in {counted(int(wrong.sum()), 'row')}, the first is row {row}"
            )
    return log_prob


# --- the model --------------------------------------------------------------------------------------------------------


def mixture(params: Params, observation: Tensor, broad_2A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights (P, B, C + 1), means and log-deviations (P, B, C + 1, A) before the tanh.

    The last component is ``broad_2A`` (mean and log-deviation) with weight :data:`DEFENSIVE` in every state.
    """
    size = broad_2A.shape[-1]
    out_PBCO = nn.mlp(params, observation).unflatten(-1, (-1, 1 + 2 * size))
    mean, log_std = out_PBCO[..., 1:].chunk(2, dim=-1)
    fixed = broad_2A.expand(*out_PBCO.shape[:2], 2, size)
    log_weight = out_PBCO[..., 0].log_softmax(-1) + math.log(1 - DEFENSIVE)
    return (
        torch.cat([log_weight, torch.full_like(log_weight[..., :1], math.log(DEFENSIVE))], -1),
        torch.cat([mean, fixed[..., :1, :]], -2),
        torch.cat([log_std.clamp(nn.LOG_STD_MIN, nn.LOG_STD_MAX), fixed[..., 1:, :]], -2),
    )


def broad(action: Tensor) -> Tensor:
    """Mean and log-deviation of all actions (rows, A) before the tanh, one and a half times as wide, (2, A)."""
    reached = action.clamp(-nn.ACTION_LIMIT, nn.ACTION_LIMIT).atanh()
    return torch.stack([reached.mean(0), (1.5 * reached.std(0)).clamp(min=math.exp(nn.LOG_STD_MIN)).log()])


@dataclass(frozen=True, eq=False)
class Cross:
    """Models of K folds and which of them speaks for each row."""

    dataset: Dataset
    settings: Settings
    scaling: Scaling
    params: Params
    temperature: Tensor  # (K,), 1 for continuous actions
    broad: Tensor  # (2, A), see :func:`broad`; nothing for discrete actions
    fold_of_row: np.ndarray  # (rows,)

    def _parts(self) -> list[tuple[int, np.ndarray, Tensor, Params]]:
        """(fold, rows, their observations (1, B, S), parameters), in pieces."""
        found = []
        for fold in range(self.settings.folds):
            rows = np.flatnonzero(self.fold_of_row == fold)
            own = {name: p[fold : fold + 1] for name, p in self.params.items()}
            for start in range(0, len(rows), ROWS):
                part = rows[start : start + ROWS]
                observation = self.scaling.observation(torch.from_numpy(self.dataset.observation[part]))
                found.append((fold, part, observation.unsqueeze(0), own))
        return found

    @torch.no_grad()
    def log_prob(self, actions: np.ndarray) -> np.ndarray:
        """Of every action (rows, A) where they are discrete; of ``actions`` (rows, N, A) where not, (rows, N)."""
        found = np.empty(actions.shape if self.dataset.spec.discrete else actions.shape[:2])
        for fold, rows, observation, own in self._parts():
            if self.dataset.spec.discrete:
                mask = self.dataset.extra.get("mask")
                allowed = None if mask is None else torch.from_numpy(mask[rows])
                logits = nn.mlp(own, observation)[0] / self.temperature[fold]
                found[rows] = nn.log_prob_categorical(logits, allowed).double().numpy()
            else:
                asked = self.scaling.action(torch.from_numpy(actions[rows]))
                log_weight, mean, log_std = (x.movedim(0, 1) for x in mixture(own, observation, self.broad))
                each = nn.log_prob_tanh_gaussian(mean, log_std, asked.unsqueeze(-2))
                found[rows] = (log_weight + each).logsumexp(-1).double().numpy()
        return found if self.dataset.spec.discrete else found - float(self.scaling.action_half_range.log().sum())

    @torch.no_grad()
    def transform(self) -> np.ndarray:
        """Probability integral transform of each logged action's features, (rows, A): uniform if calibrated."""
        found = np.empty(self.dataset.action.shape)
        for _, rows, observation, own in self._parts():
            log_weight, mean, log_std = mixture(own, observation, self.broad)
            inside = self.scaling.action(torch.from_numpy(self.dataset.action[rows]))
            reached = inside.clamp(-nn.ACTION_LIMIT, nn.ACTION_LIMIT).atanh().unsqueeze(-2)
            below = torch.special.ndtr((reached - mean[0]) / log_std[0].exp())
            found[rows] = (log_weight[0].exp().unsqueeze(-1) * below).sum(-2).numpy()
        return found


def fit(dataset: Dataset, fold_E: np.ndarray, settings: Settings, seed: int) -> Behaviour:
    """The behaviour of ``dataset``; ``fold_E`` (episodes,) says which fold each episode belongs to.

    Raises:
        DataError: logged probabilities are none, see :func:`logged_log_prob`.
    """
    logged = logged_log_prob(dataset)
    cross = _train(dataset, fold_E, settings, seed)
    if dataset.spec.discrete:
        every = cross.log_prob(np.empty((len(dataset), dataset.spec.action_size)))
        fitted = every[np.arange(len(dataset)), dataset.action]
        error, coverage = expected_calibration_error(np.exp(every), dataset.action), None
    else:
        fitted = cross.log_prob(dataset.action[:, None])[:, 0]
        uniform = cross.transform()
        error, coverage = transform_error(uniform), float(((uniform > 0.05) & (uniform < 0.95)).mean())
    calibration = Calibration(float(fitted.mean()), error, coverage, None if logged is None else float(logged.mean()))
    source = "fitted" if logged is None else "logged"
    return Behaviour(fitted if logged is None else logged, source, calibration, cross, float(np.quantile(fitted, 0.01)))


def _train(dataset: Dataset, fold_E: np.ndarray, settings: Settings, seed: int) -> Cross:
    spec, folds = dataset.spec, settings.folds
    scaling = Scaling.fit(dataset, True)
    seeds = [seed * folds + k for k in range(folds)]
    fold_R = fold_E[dataset.episode_of_row]
    pools, held = zip(*[_split(dataset, fold_E, k, seed) for k in range(folds)], strict=True)
    outputs = spec.action_size if spec.discrete else settings.components * (1 + 2 * spec.action_size)
    params = nn.init_mlp(MemberRng(seeds, "behaviour"), (spec.observation_size, *settings.hidden, outputs))
    widest = torch.zeros(2, 0) if spec.discrete else broad(scaling.action(torch.from_numpy(dataset.action)))
    loss = _loss(dataset, scaling, widest)
    check_rng = MemberRng(seeds, "behaviour held out")
    held_KB = torch.stack([p[i] for p, i in zip(held, check_rng.integers([len(p) for p in held], 2048), strict=True)])
    rng, state = MemberRng(seeds, "behaviour rows"), optim.adam_init(params)
    best, lowest_K = {name: p.clone() for name, p in params.items()}, torch.full((folds,), math.inf)
    for step in range(settings.behaviour_steps):
        index = rng.integers([len(p) for p in pools], settings.batch_size)
        rows_KB = torch.stack([p[i] for p, i in zip(pools, index, strict=True)])
        found, _ = optim.gradients(lambda leaves, rows=rows_KB: (loss(leaves, rows), {}), params)
        lr = settings.lr * (1.0 if 2 * step < settings.behaviour_steps else 0.1)
        optim.adam_step(params, found, state, torch.full((folds,), lr))
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == settings.behaviour_steps:
            with torch.no_grad():
                now_K = loss(params, held_KB)
            better_K = now_K < lowest_K
            lowest_K = torch.where(better_K, now_K, lowest_K)
            for name, p in params.items():
                best[name] = torch.where(optim.per_member(better_K, p), p, best[name])
    temperature = torch.ones(folds)
    if spec.discrete:
        temperature = torch.stack([_temperature(loss, best, held_KB, k) for k in range(folds)])
    return Cross(dataset, settings, scaling, best, temperature, widest, fold_R)


def _split(dataset: Dataset, fold_E: np.ndarray, fold: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to fit the model of a fold to, and rows of other units to stop it by; none of the fold itself."""
    unit_E, _ = dataset.units()
    others = np.random.default_rng([seed, fold]).permutation(np.unique(unit_E[fold_E != fold]))
    held = np.isin(unit_E, others[: max(1, len(others) // HELD_OUT)])
    held_R, other_R = held[dataset.episode_of_row], (fold_E != fold)[dataset.episode_of_row]
    return torch.from_numpy(np.flatnonzero(other_R & ~held_R)), torch.from_numpy(np.flatnonzero(held_R))


def _loss(dataset: Dataset, scaling: Scaling, widest: Tensor) -> Any:
    """A function of parameters and rows (K, B), and of a temperature if discrete: negative log-likelihood (K,)."""
    observation = scaling.observation(torch.from_numpy(dataset.observation))
    action = scaling.action(torch.from_numpy(dataset.action))
    mask = torch.from_numpy(dataset.extra["mask"]) if dataset.spec.discrete and "mask" in dataset.extra else None

    def discrete(params: Params, rows: Tensor, temperature: float = 1.0) -> Tensor:
        logits = nn.mlp(params, observation[rows]) / temperature
        log_prob = nn.log_prob_categorical(logits, None if mask is None else mask[rows])
        return -nn.value_of(log_prob, action[rows]).mean(-1)

    def continuous(params: Params, rows: Tensor) -> Tensor:
        log_weight, mean, log_std = mixture(params, observation[rows], widest)
        each = nn.log_prob_tanh_gaussian(mean, log_std, action[rows].unsqueeze(-2))
        return -(log_weight + each).logsumexp(-1).mean(-1)

    return discrete if dataset.spec.discrete else continuous


@torch.no_grad()
def _temperature(loss: Any, params: Params, held_KB: Tensor, fold: int) -> Tensor:
    """The temperature within [1/8, 8] at which held-out actions are likeliest, by golden section on its logarithm."""
    own = {name: p[fold : fold + 1] for name, p in params.items()}
    golden = (math.sqrt(5) - 1) / 2
    low, high = -math.log(8), math.log(8)
    for _ in range(30):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(own, held_KB[fold : fold + 1], math.exp(left)) < loss(own, held_KB[fold : fold + 1], math.exp(right)):
            high = right
        else:
            low = left
    return torch.tensor(math.exp((low + high) / 2))
