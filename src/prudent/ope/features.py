"""Features of states and actions, learned from the log once and used for the values of every policy.

One network h(s), and for continuous actions another one h(s, a), learn to predict what the log itself shows: rewards,
values of the behaviour policy over several horizons, how the state changes, and terminations. All of it is what
followed in the log, so nothing can run away, as the values of another policy can when a network bootstraps from actions
that the log hardly has. Fitted Q evaluation is then linear in the outputs of the last hidden layer
(:mod:`prudent.ope.last_layer`).

Members differ in their initial weights and rows. Shared features also make values of several policies comparable: what
the features get wrong, they get wrong for all.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prudent import nn, statistics
from prudent.data import Dataset
from prudent.engine.batches import as_tensor
from prudent.engine.scaling import Scaling
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.ope.episodes import Episodes, goes_on
from prudent.ope.settings import ROWS, Settings
from prudent.progress import watched
from prudent.types import Params

SHORTER = (1, 4, 16)
"""Values are learned for the horizon of the discount, a quarter and a sixteenth of it, and for the next reward."""
LARGEST_CHANGE = 5.0
"""Changes of a state's feature are clipped to this many standard deviations: one jump shall not rule the features."""


class LogFeatures:
    """Features of the rows of one log by M members, computed when they are first asked for.

    Without hidden layers (``hidden=()``) the features are the inputs themselves.
    """

    def __init__(self, state: Params, pair: Params, members: int, rows: "LogRows"):
        self._state, self._pair, self.members, self.rows = state, pair, members, rows
        self._known: dict[tuple[str, int], Tensor] = {}

    def state(self, member: int) -> Tensor:
        """h(s) and a 1 for every row, (rows, F + 1) float64."""
        return self._once("state", member, self._state, (self.rows.observation,))

    def next_state(self, member: int) -> Tensor:
        """h(s') and a 1 for every row, (rows, F + 1) float64."""
        return self._once("next", member, self._state, (self.rows.next_observation,))

    def pair(self, member: int) -> Tensor:
        """h(s, a) of the logged continuous actions and a 1 for every row, (rows, F + 1) float64."""
        return self._once("pair", member, self._pair, (self.rows.observation, self.rows.action))

    @torch.no_grad()
    def mean_pair(self, member: int, observation: Tensor, actions: Tensor) -> Tensor:
        """Mean of h(s, a), and a 1, over standardised actions (rows, N, A); (rows, F + 1) float64."""
        count = actions.shape[1]
        pairs = torch.cat([observation.unsqueeze(1).expand(-1, count, -1), actions], -1).flatten(0, 1)
        return _hidden(self._pair, member, pairs).view(len(actions), count, -1).mean(1)

    def _once(self, name: str, member: int, layers: Params, inputs: tuple[Tensor, ...]) -> Tensor:
        if (name, member) not in self._known:
            parts = [_hidden(layers, member, part) for part in torch.cat(inputs, -1).split(ROWS)]
            self._known[name, member] = torch.cat(parts)
        return self._known[name, member]


@torch.no_grad()
def _hidden(layers: Params, member: int, x: Tensor) -> Tensor:
    for i in range(len(layers) // 2):
        x = torch.relu(torch.addmm(layers[f"b{i}"][member], x, layers[f"w{i}"][member]))
    return torch.cat([x.double(), torch.ones(len(x), 1, dtype=torch.double)], 1)


# --- what is predicted ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LogRows:
    """The rows of the log in the units of the networks: observations scaled, continuous actions standardised with the
    mean and the standard deviation of the logged ones, since declared bounds may be far wider than the actions taken.
    """

    observation: Tensor
    next_observation: Tensor
    action: Tensor
    action_mean: np.ndarray
    action_std: np.ndarray

    def standardized(self, actions: np.ndarray) -> Tensor:
        """Continuous actions (..., A) in the units of the networks."""
        return torch.from_numpy(((actions - self.action_mean) / self.action_std).astype(np.float32))


def read(dataset: Dataset) -> LogRows:
    """The rows of ``dataset``."""
    scaling = Scaling.fit(dataset, True)
    observation = scaling.observation(as_tensor(dataset.observation))
    following = scaling.observation(as_tensor(dataset.next_observation))
    if dataset.spec.discrete:
        action = torch.from_numpy(dataset.spec.index_of(dataset.action))
        return LogRows(observation, following, action, np.zeros(0), np.ones(0))
    mean = dataset.action.mean(0, dtype=np.float64)
    std = statistics.divisor(mean, dataset.action.std(0, dtype=np.float64))
    rows = LogRows(observation, following, torch.empty(0), mean, std)
    return replace(rows, action=rows.standardized(dataset.action))


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """What is to be predicted: ``V_k = reward_k + discount_k V_k(s')`` with one column per horizon, and ``other``.

    ``reward`` and ``discount`` are (rows, K), with V_k of unit size. ``other`` (rows, O): changes of the state,
    terminations.
    """

    discount: Tensor
    reward: Tensor
    other: Tensor


def learn(episodes: Episodes, rows: LogRows, settings: Settings, seed: int) -> LogFeatures:
    """Features of ``rows`` by ``settings.members`` members, after ``settings.steps`` gradient steps."""
    dataset = episodes.dataset
    if not settings.hidden:
        return LogFeatures({}, {}, 1, rows)
    seeds = [seed * 100_003 + m for m in range(settings.members)]
    actions = dataset.spec.action_size if dataset.spec.discrete else None
    params = _by_gradient(rows, _outcomes(episodes, rows), actions, settings, seeds)
    depth = len(settings.hidden)
    state, pair = (
        {f"{kind}{i}": params[f"{name}.{kind}{i}"] for kind in "wb" for i in range(depth) if f"{name}.w0" in params}
        for name in ("state", "pair")
    )
    return LogFeatures(state, pair, settings.members, rows)


def _outcomes(episodes: Episodes, rows: LogRows) -> _Outcomes:
    dataset, alive = episodes.dataset, goes_on(episodes.dataset)
    step_discount = episodes.discount**episodes.dt
    discounts = [np.where(alive, step_discount**shorter, 0.0) for shorter in SHORTER] + [np.zeros(len(dataset))]
    rewards = []
    for discount in discounts:
        centre, spread = level(dataset.reward, discount)
        rewards.append((dataset.reward + (discount - 1) * centre) / spread)
    change = rows.next_observation - rows.observation
    change = (change - change.mean(0)) / change.std(0).clamp(min=1e-6)
    ended = torch.from_numpy(~alive).float().unsqueeze(1)
    return _Outcomes(
        torch.from_numpy(np.stack(discounts, 1).astype(np.float32)),
        torch.from_numpy(np.stack(rewards, 1).astype(np.float32)),
        torch.cat([change.clamp(-LARGEST_CHANGE, LARGEST_CHANGE), ended], 1),
    )


def level(reward: np.ndarray, discount: np.ndarray) -> tuple[float, float]:
    """``centre`` and ``spread`` of the values of a process without memory; ``discount`` (rows,), 0 at a termination.

    The centre solves ``v = mean r + mean discount * v``.
    """
    # Never 0: lay_out refuses episodes that do not terminate if there is no discount.
    rate = float((1 - discount).mean())
    centre = float(reward.mean(dtype=np.float64)) / rate
    spread = float(reward.std(dtype=np.float64)) / rate**0.5
    # No spread but rounding: the size of the values, whatever their unit, or 1 if all rewards are 0.
    return centre, spread if spread > 1e-6 * abs(centre) else abs(centre) or 1.0


def _by_gradient(
    log: LogRows, outcomes: _Outcomes, actions: int | None, settings: Settings, seeds: list[int]
) -> Params:
    """The networks after all gradient steps, averaged over the last of them."""
    horizons = outcomes.reward.shape[1]
    size, each = log.observation.shape[1], horizons + outcomes.other.shape[1]
    rng = MemberRng(seeds, "feature weights")
    networks = {"state": (size, *settings.hidden, horizons + (actions or 0) * each)}
    if actions is None:
        networks["pair"] = (size + log.action.shape[1], *settings.hidden, each)
    params = {f"{n}.{key}": p for n, sizes in networks.items() for key, p in nn.init_mlp(rng, sizes).items()}
    target_params = {name: p.clone() for name, p in params.items()}
    state, rows_rng, count = optim.adam_init(params), MemberRng(seeds, "feature rows"), len(seeds)
    polyak_P = torch.full((count,), settings.polyak)

    def loss(leaves: Params, rows_PB: Tensor, y_PBK: Tensor) -> Tensor:
        observation = log.observation[rows_PB]
        out = nn.mlp(_part(leaves, "state"), observation)
        value = out[..., :horizons]
        if actions is None:
            of_action = nn.mlp(_part(leaves, "pair"), torch.cat([observation, log.action[rows_PB]], -1))
        else:
            table = out[..., horizons:].unflatten(-1, (actions, each))
            index = log.action[rows_PB][..., None, None].expand(*rows_PB.shape, 1, each)
            of_action = table.gather(2, index).squeeze(2)
        error = (of_action - torch.cat([y_PBK, outcomes.other[rows_PB]], -1)).square().sum(-1) / each
        return ((value - y_PBK).square().mean(-1) + 2 * error).mean(-1)

    for step in watched(range(settings.steps), "learning features of the log", "steps"):
        rows_PB = rows_rng.integers(len(log.observation), settings.batch_size)
        with torch.no_grad():
            ahead = nn.mlp(_part(target_params, "state"), log.next_observation[rows_PB])[..., :horizons]
            y_PBK = outcomes.reward[rows_PB] + outcomes.discount[rows_PB] * ahead
        gradients, _ = optim.gradients(lambda leaves, r=rows_PB, y=y_PBK: (loss(leaves, r, y), {}), params)
        optim.adam_step(params, gradients, state, torch.full((count,), learning_rate(settings, step)))
        optim.polyak(target_params, params, polyak_P)
    # The target networks average the late iterates, so they are less noisy than the last iterate.
    return target_params


def _part(params: Params, name: str) -> Params:
    return {key.removeprefix(f"{name}."): p for key, p in params.items() if key.startswith(f"{name}.")}


def learning_rate(settings: Settings, step: int) -> float:
    """Constant for the first half, then falling linearly to a twentieth."""
    share = min(1.0, 2 * (1 - step / settings.steps))
    return settings.lr * (0.05 + 0.95 * share)
