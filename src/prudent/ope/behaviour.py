"""The behaviour policy, as a model fitted to the log with cross-fitting over episodes.

Discrete actions: a classifier; its logits are divided by a temperature chosen on held-out episodes (Guo et al. 2017,
arXiv 1706.04599), and its probabilities are mixed with those of a policy that ignores the state, as far as the log is
then likelier. Continuous actions: a mixture of tanh-Gaussians. There is one model per fold, on the population axis.
Each model predicts only the episodes of its fold, which it was not fitted to. Training keeps the parameters that were
best on held-out episodes.

If the log carries probabilities of its own, the importance weights use those. The model then still measures calibration
and which actions of a policy lie outside the data.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prudent import nn
from prudent.data import Dataset, logged_prob
from prudent.data.columns import counted
from prudent.engine.batches import as_tensor
from prudent.engine.scaling import Scaling
from prudent.errors import DataError
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.ope.calibration import Calibration, expected_calibration_error, transform_error
from prudent.ope.policy import slices
from prudent.ope.settings import Settings
from prudent.progress import watched
from prudent.types import Params

CHECK_EVERY = 100
DEFENSIVE = 0.05
"""Weight of one component as broad as all actions together (a defensive mixture: Hesterberg 1995). Without it, one
action that the model wrongly holds for impossible would give its episode all the weight."""
RARE = 0.01
"""Share of the logged actions that count as rare: an action of a policy that is rarer than the others is outside."""
UNLIKELY = 0.01
"""A discrete action is outside only if it is also less likely than this: where a log explores, its rarest actions may
well be taken in one of twenty decisions, which is no lack of data."""
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Weights that a policy which ignores the state may have beside the model of discrete actions."""
HELD_OUT = 5
"""One in this many of a fold's training episodes (or groups) is held out, for early stopping and the temperature."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The behaviour policy of a dataset.

    Attributes:
        log_prob: (rows,) of the logged actions: from the log where it has them, else from the model.
        source: ``logged`` or ``fitted``.
        calibration: how good the model is.
        model: the fitted model.
        threshold: log-density that 99 % of logged actions exceed, under models that did not see them; of discrete
            actions no more than the logarithm of :data:`UNLIKELY`.
        own_outside: share of the logged actions below the threshold.
        doubt: why importance weights by the log's own probabilities would be wrong; ``""`` if nothing speaks against
            them.
    """

    log_prob: np.ndarray
    source: str
    calibration: Calibration
    model: "CrossFittedModel"
    threshold: float
    own_outside: float = RARE
    doubt: str = ""

    def outside(self, policy_actions: np.ndarray) -> np.ndarray:
        """Share of the policy's actions at each row that are below the threshold, or never in the log, (rows,).

        ``policy_actions``: probabilities (rows, A) of a discrete policy, or draws (rows, N, A) of a continuous one.
        """
        rare = self.model.log_prob(policy_actions) < self.threshold
        dataset = self.model.dataset
        if dataset.spec.discrete:
            rare |= np.bincount(dataset.spec.index_of(dataset.action), minlength=dataset.spec.action_size) == 0
            return (policy_actions * rare).sum(axis=1)
        return rare.mean(axis=1)


def logged_log_prob(dataset: Dataset) -> np.ndarray | None:
    """The log-probability of each action as given in the log, (rows,) float64; None without such a column.

    Raises:
        DataError: a value is not a number, or means a probability of zero or above one; or the log has both spellings.
    """
    names = [name for name in logged_prob.COLUMNS if name in dataset.extra]
    if not names:
        return None
    if len(names) > 1:
        raise DataError(
            f"{dataset.name}: has both {names[0]} and {names[1]}, two spellings of one column: leave one out"
        )
    column = np.asarray(dataset.extra[names[0]])
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1 or column.dtype.kind not in "fiu":
        raise DataError(f"{dataset.name}: {names[0]} must be one number per row, the logarithm of a probability")
    log_prob = column.astype(np.float64)
    limit = 1e-6 if dataset.spec.discrete else math.inf
    for problem, wrong in {
        "is not a number": np.isnan(log_prob),
        "gives a logged action probability zero": log_prob == -math.inf,
        "must hold natural logarithms of probabilities, but gives a probability above one": log_prob > limit,
        "is infinite": log_prob == math.inf,
    }.items():
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{dataset.name}: {names[0]} {problem} in {counted(int(wrong.sum()), 'row')}, the first is row {row}"
            )
    return log_prob


# --- the model --------------------------------------------------------------------------------------------------------


def mixture(params: Params, observation: Tensor, broad_2A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights (P, B, C + 1), means and log standard deviations (P, B, C + 1, A) before the tanh.

    The last component is ``broad_2A`` (mean and log standard deviation) with weight :data:`DEFENSIVE` in every state.
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
    """Mean and log standard deviation of all actions (rows, A) before the tanh, 1.5 times as wide, (2, A)."""
    unbounded = _atanh(action)
    return torch.stack([unbounded.mean(0), (1.5 * unbounded.std(0)).clamp(min=math.exp(nn.LOG_STD_MIN)).log()])


def _atanh(action: Tensor) -> Tensor:
    return action.clamp(-nn.ACTION_LIMIT, nn.ACTION_LIMIT).atanh()


@dataclass(frozen=True, eq=False)
class CrossFittedModel:
    """A model per fold (K), and which of them predicts each row."""

    dataset: Dataset
    settings: Settings
    scaling: Scaling
    params: Params
    temperature: Tensor  # (K,), 1 for continuous actions
    broad: Tensor  # (2, A), see :func:`broad`; empty for discrete actions
    fold_of_row: np.ndarray  # (rows,)

    def _pieces(self) -> list[tuple[int, np.ndarray, Tensor, Params]]:
        """(fold, rows, their observations (1, B, S), parameters of the fold), a few thousand rows at a time."""
        pieces = []
        for fold in range(self.settings.folds):
            fold_rows = np.flatnonzero(self.fold_of_row == fold)
            fold_params = _params_of(self.params, fold)
            for part in slices(len(fold_rows)):
                rows = fold_rows[part]
                observation = self.scaling.observation(torch.from_numpy(self.dataset.observation[rows]))
                pieces.append((fold, rows, observation.unsqueeze(0), fold_params))
        return pieces

    @torch.no_grad()
    def log_prob(self, actions: np.ndarray) -> np.ndarray:
        """Log-probability of every discrete action, (rows, A), or log-density of ``actions`` (rows, N, A), (rows, N).

        Of discrete ``actions`` only the shape (rows, A) matters.
        """
        log_prob = np.empty(actions.shape if self.dataset.spec.discrete else actions.shape[:2])
        for fold, rows, observation, params in self._pieces():
            if self.dataset.spec.discrete:
                mask = self.dataset.extra.get("mask")
                allowed = None if mask is None else torch.from_numpy(mask[rows])
                logits = nn.mlp(params, observation)[0] / self.temperature[fold]
                log_prob[rows] = nn.log_prob_categorical(logits, allowed).double().numpy()
            else:
                scaled = self.scaling.action(torch.from_numpy(actions[rows]))
                log_weight, mean, log_std = (x.movedim(0, 1) for x in mixture(params, observation, self.broad))
                component = nn.log_prob_tanh_gaussian(mean, log_std, scaled.unsqueeze(-2))
                log_prob[rows] = (log_weight + component).logsumexp(-1).double().numpy()
        return log_prob if self.dataset.spec.discrete else log_prob - float(self.scaling.action_half_range.log().sum())

    @torch.no_grad()
    def transform(self) -> np.ndarray:
        """Probability integral transform of each logged action's features, (rows, A): uniform if calibrated."""
        uniform = np.empty(self.dataset.action.shape)
        for _, rows, observation, params in self._pieces():
            log_weight, mean, log_std = mixture(params, observation, self.broad)
            scaled = self.scaling.action(torch.from_numpy(self.dataset.action[rows]))
            below = torch.special.ndtr((_atanh(scaled).unsqueeze(-2) - mean[0]) / log_std[0].exp())
            uniform[rows] = (log_weight[0].exp().unsqueeze(-1) * below).sum(-2).numpy()
        return uniform


def _params_of(params: Params, fold: int) -> Params:
    return {name: p[fold : fold + 1] for name, p in params.items()}


# --- fitting ----------------------------------------------------------------------------------------------------------


def fit(dataset: Dataset, fold_E: np.ndarray, settings: Settings, seed: int, doubt: str | None = None) -> Behaviour:
    """The behaviour policy of ``dataset``; ``fold_E`` (episodes,) is the fold of each episode.

    ``doubt`` says why importance weights by the log's own probabilities would be wrong; None looks for a reason.

    Raises:
        DataError: the log's own probabilities are not probabilities, see :func:`logged_log_prob`.
    """
    logged = logged_log_prob(dataset)
    model = _train(dataset, fold_E, settings, seed)
    if dataset.spec.discrete:
        table = model.log_prob(np.empty((len(dataset), dataset.spec.action_size)))
        taken = dataset.spec.index_of(dataset.action)
        unmixed = table[np.arange(len(dataset)), taken]
        threshold = min(float(np.quantile(unmixed, RARE)), math.log(UNLIKELY))
        own = float((unmixed < threshold).mean())
        probability = with_shares(np.exp(table), taken, model.fold_of_row, dataset.extra.get("mask"))
        fitted = np.log(probability[np.arange(len(dataset)), taken])
        error, coverage = expected_calibration_error(probability, taken), None
    else:
        fitted = model.log_prob(dataset.action[:, None])[:, 0]
        uniform = model.transform()
        threshold, own = float(np.quantile(fitted, RARE)), RARE
        error, coverage = transform_error(uniform), float(((uniform > 0.05) & (uniform < 0.95)).mean())
    calibration = Calibration(float(fitted.mean()), error, coverage, None if logged is None else float(logged.mean()))
    source = "fitted" if logged is None else "logged"
    own_prob = fitted if logged is None else logged
    doubt = logged_prob.doubt(dataset) if doubt is None else doubt
    return Behaviour(own_prob, source, calibration, model, threshold, own, doubt)


def with_shares(probability: np.ndarray, taken: np.ndarray, fold_R: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Probabilities (rows, A), mixed with those of a policy that ignores the state, among the allowed actions.

    It takes all of them equally often, as exploration does, or as often as the rows of the other folds do. Which one,
    and its weight in :data:`SHARES`, is the likeliest over all rows, none of which its model has seen. A classifier
    that is fitted to a few hundred rows holds some explored actions for all but impossible: of 600 decisions that were
    worth 77 it left 4.
    """
    size, rows = probability.shape[1], np.arange(len(taken))
    folds = range(int(fold_R.max()) + 1)
    counts = np.stack([np.bincount(taken[fold_R != k], minlength=size) for k in folds])[fold_R].astype(np.float64)
    model, best, highest = probability[rows, taken], probability, -math.inf
    for frequency in (counts, np.ones_like(counts)):
        allowed = frequency if mask is None else frequency * mask
        total = allowed.sum(1, keepdims=True)
        share = np.divide(allowed, total, out=probability.copy(), where=total > 0)
        for weight in SHARES:
            with np.errstate(divide="ignore"):
                likelihood = float(np.log((1 - weight) * model + weight * share[rows, taken]).mean())
            if likelihood > highest:
                highest = likelihood
                best = (1 - weight) * probability + weight * share if weight else probability
    return best


def _train(dataset: Dataset, fold_E: np.ndarray, settings: Settings, seed: int) -> CrossFittedModel:
    spec, folds = dataset.spec, settings.folds
    scaling = Scaling.fit(dataset, True)
    seeds = [seed * folds + k for k in range(folds)]
    pools, held_out = zip(*[split(dataset, fold_E, k, seed) for k in range(folds)], strict=True)
    outputs = spec.action_size if spec.discrete else settings.components * (1 + 2 * spec.action_size)
    params = nn.init_mlp(MemberRng(seeds, "behaviour"), (spec.observation_size, *settings.hidden, outputs))
    broad_2A = torch.zeros(2, 0) if spec.discrete else broad(scaling.action(as_tensor(dataset.action)))
    loss = _loss(dataset, scaling, broad_2A)
    held_out_KB = _draw_rows(MemberRng(seeds, "behaviour held out"), held_out, 2048)
    rng, state = MemberRng(seeds, "behaviour rows"), optim.adam_init(params)
    best, lowest_K = {name: p.clone() for name, p in params.items()}, torch.full((folds,), math.inf)
    for step in watched(range(settings.behaviour_steps), "fitting the behaviour model", "steps"):
        rows_KB = _draw_rows(rng, pools, settings.batch_size)
        gradients, _ = optim.gradients(lambda leaves, rows=rows_KB: (loss(leaves, rows), {}), params)
        lr = settings.lr * (1.0 if 2 * step < settings.behaviour_steps else 0.1)
        optim.adam_step(params, gradients, state, torch.full((folds,), lr))
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == settings.behaviour_steps:
            with torch.no_grad():
                loss_K = loss(params, held_out_KB)
            better_K = loss_K < lowest_K
            lowest_K = torch.where(better_K, loss_K, lowest_K)
            for name, p in params.items():
                best[name] = torch.where(optim.per_member(better_K, p), p, best[name])
    temperature = torch.ones(folds)
    if spec.discrete:
        temperature = torch.stack([_temperature(loss, best, held_out_KB, k) for k in range(folds)])
    return CrossFittedModel(dataset, settings, scaling, best, temperature, broad_2A, fold_E[dataset.episode_of_row])


def _draw_rows(rng: MemberRng, pools: tuple[Tensor, ...], size: int) -> Tensor:
    """``size`` rows from the pool of each fold, with replacement, (K, size)."""
    index = rng.integers([len(pool) for pool in pools], size)
    return torch.stack([pool[i] for pool, i in zip(pools, index, strict=True)])


def split(dataset: Dataset, fold_E: np.ndarray, fold: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to fit the model of a fold to, and held-out rows of other units; neither includes the fold itself."""
    unit_E, _ = dataset.units()
    units = np.random.default_rng([seed, fold]).permutation(np.unique(unit_E[fold_E != fold]))
    held_out_E = np.isin(unit_E, units[: max(1, len(units) // HELD_OUT)])
    held_out_R, usable_R = held_out_E[dataset.episode_of_row], (fold_E != fold)[dataset.episode_of_row]
    return torch.from_numpy(np.flatnonzero(usable_R & ~held_out_R)), torch.from_numpy(np.flatnonzero(held_out_R))


def _loss(dataset: Dataset, scaling: Scaling, broad_2A: Tensor) -> Any:
    """The negative log-likelihood (K,), as a function of parameters, rows (K, B) and, if discrete, a temperature."""
    observation = scaling.observation(as_tensor(dataset.observation))
    action = scaling.action(as_tensor(dataset.action))
    mask = as_tensor(dataset.extra["mask"]) if dataset.spec.discrete and "mask" in dataset.extra else None

    def discrete(params: Params, rows: Tensor, temperature: float = 1.0) -> Tensor:
        logits = nn.mlp(params, observation[rows]) / temperature
        log_prob = nn.log_prob_categorical(logits, None if mask is None else mask[rows])
        return -nn.value_of(log_prob, action[rows]).mean(-1)

    def continuous(params: Params, rows: Tensor) -> Tensor:
        log_weight, mean, log_std = mixture(params, observation[rows], broad_2A)
        component = nn.log_prob_tanh_gaussian(mean, log_std, action[rows].unsqueeze(-2))
        return -(log_weight + component).logsumexp(-1).mean(-1)

    return discrete if dataset.spec.discrete else continuous


@torch.no_grad()
def _temperature(loss: Any, params: Params, held_out_KB: Tensor, fold: int) -> Tensor:
    """The temperature within [1/8, 8] of the lowest held-out loss, by golden-section search on its logarithm."""
    fold_params, rows = _params_of(params, fold), held_out_KB[fold : fold + 1]
    golden = (math.sqrt(5) - 1) / 2
    low, high = -math.log(8), math.log(8)
    for _ in range(30):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(fold_params, rows, math.exp(left)) < loss(fold_params, rows, math.exp(right)):
            high = right
        else:
            low = left
    return torch.tensor(math.exp((low + high) / 2))
