"""Random problems in float64, as tensors for the library and as plain numbers for the oracles."""

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from prudent import algorithms
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Spec


def hyper64(configs) -> Hyper:
    """A Hyper whose numbers are float64, so that float32 rounding of settings does not hide in a comparison."""
    hyper = Hyper(configs)
    for name, value in hyper._values.items():
        if name == "log_discount":
            hyper._values[name] = torch.tensor([c.discount for c in configs], dtype=torch.float64).log()
        elif isinstance(value, Tensor):
            hyper._values[name] = torch.tensor([getattr(c, name) for c in configs], dtype=torch.float64)
    return hyper


class Case:
    """A population of ``members`` with random networks, a random batch and random noise, all float64.

    Settings given as lists differ between members. Targets differ from critics, temperatures from 1, and some rows are
    terminated, so that no term of a loss is zero by luck.
    """

    def __init__(
        self,
        algorithm="cql",
        seed=0,
        members=2,
        rows=3,
        state_size=3,
        action_size=2,
        with_dt=False,
        masked=False,
        noisy=True,
        **options,
    ):
        self.algorithm = algorithms.get(algorithm)
        options = {"hidden": (6, 5), **options}
        if "n_actions" in {f.name for f in fields(self.algorithm.Config)}:
            options = {"n_actions": 2, **options}
        per_member = [{k: v[p] if isinstance(v, list) else v for k, v in options.items()} for p in range(members)]
        self.configs = [self.algorithm.Config(batch_size=rows, **own) for own in per_member]
        self.hyper = hyper64(self.configs)
        discrete = algorithms.is_discrete(algorithm)
        self.spec = Spec(state_size, action_size, discrete=discrete)
        self.members = members
        seeds = [100 * seed + p for p in range(members)]
        self.state = self.algorithm.init(self.spec, self.hyper, MemberRng(seeds, "init"))
        rng = MemberRng(seeds, "case")
        for name, params in self.state.networks.items():
            for key in params:
                value = params[key].double()
                if noisy:
                    value = value + 0.2 * rng.normal(*value.shape[1:]).double()
                params[key] = value
            if name in self.state.optimizers:
                for moments in ("mean", "square"):
                    own = self.state.optimizers[name][moments]
                    self.state.optimizers[name][moments] = {k: v.double() for k, v in own.items()}
        terminated = torch.zeros(members, rows, dtype=torch.bool)
        terminated[:, 1::3] = True

        def draw_action() -> Tensor:
            return rng.integers(action_size, rows) if discrete else rng.uniform(-1, 1, rows, action_size)

        observation, action = rng.normal(rows, state_size), draw_action()
        self.batch = Batch(
            observation=observation,
            action=action,
            reward=rng.normal(rows),
            next_observation=rng.normal(rows, state_size),
            terminated=terminated,
            dt=rng.uniform(0.5, 3, rows) if with_dt else None,
            return_to_go=rng.normal(rows),
            next_action=draw_action(),
            next_action_known=rng.uniform(0, 1, rows) < 0.7,
            mask=_some_allowed(rng, action, action_size) if masked else None,
            next_mask=_some_allowed(rng, rng.integers(action_size, rows), action_size) if masked else None,
        ).map(lambda t: t.double() if t.is_floating_point() else t)
        self.noise = doubled(self.algorithm.draw(self.spec, self.hyper, MemberRng(seeds, "noise")))

    @property
    def networks(self):
        return self.state.networks

    # --- as the oracles read it -------------------------------------------------------------------------------------

    def net(self, p: int) -> SimpleNamespace:
        """Member p's networks, copied to NumPy."""
        own = {
            name: {k: t[p].detach().numpy().copy() for k, t in params.items()} for name, params in self.networks.items()
        }
        net = SimpleNamespace(**{name: own[name] for name in ("actor", "target_actor", "value") if name in own})
        for name in ("critic", "target_critic"):
            if name in own:
                ensemble = range(own[name]["w0"].shape[0])
                setattr(net, name, [{k: v[e] for k, v in own[name].items()} for e in ensemble])
        net.log_tau = float(own["temperature"]["log"]) if "temperature" in own else None
        net.log_multiplier = float(own["lagrange"]["log"]) if "lagrange" in own else None
        return net

    def rows(self, p: int) -> list[SimpleNamespace]:
        """Member p's batch as a list of transitions."""
        b = self.batch
        return [
            SimpleNamespace(
                observation=b.observation[p, i].numpy(),
                action=int(b.action[p, i]) if self.spec.discrete else b.action[p, i].numpy(),
                reward=float(b.reward[p, i]),
                next_observation=b.next_observation[p, i].numpy(),
                terminated=bool(b.terminated[p, i]),
                dt=1.0 if b.dt is None else float(b.dt[p, i]),
                return_to_go=float(b.return_to_go[p, i]),
                next_action=int(b.next_action[p, i]) if self.spec.discrete else b.next_action[p, i].numpy(),
                next_action_known=bool(b.next_action_known[p, i]),
                mask=None if b.mask is None else b.mask[p, i].numpy(),
                next_mask=None if b.next_mask is None else b.next_mask[p, i].numpy(),
            )
            for i in range(b.reward.shape[1])
        ]

    def noises(self, p: int) -> SimpleNamespace | None:
        """Member p's noise."""
        if self.noise is None:
            return None
        drawn = {f.name: getattr(self.noise, f.name) for f in fields(self.noise)}
        return SimpleNamespace(**{k: None if v is None else v[p].numpy() for k, v in drawn.items()})

    def problem(self, p: int) -> tuple:
        """(net, rows, noise, config) of member p."""
        return self.net(p), self.rows(p), self.noises(p), self.configs[p]


def _some_allowed(rng: MemberRng, action: Tensor, action_size: int) -> Tensor:
    """(P, B, A) bool: about half of the actions, ``action`` (P, B) always among them."""
    mask = rng.uniform(0, 1, action.shape[-1], action_size) < 0.5
    return mask.scatter(-1, action.unsqueeze(-1), True)


def doubled(noise):
    """Noise in float64; whole numbers stay what they are."""
    if noise is None:
        return None
    drawn = {f.name: getattr(noise, f.name) for f in fields(noise)}
    return replace(noise, **{k: v.double() for k, v in drawn.items() if v is not None and v.is_floating_point()})


# --- comparisons ------------------------------------------------------------------------------------------------------


def assert_values(found: Tensor, expected: list[float], what: str, tolerance: float = 1e-10) -> None:
    """The library's numbers (P,) equal the oracle's."""
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=tolerance, err_msg=what)


def assert_gradients(found, arrays, loss, seed: int, what: str, per_tensor: int = 2, step: float = 1e-6) -> None:
    """Gradients equal central differences of ``loss()`` at a random choice of entries.

    ``found`` maps names to gradients, ``arrays`` the same names to NumPy arrays that ``loss`` reads.
    """
    rng = np.random.default_rng(seed)
    largest = max(float(np.abs(g).max()) for g in found.values())
    assert largest > 1e-6, f"{what}: every gradient is zero, so this comparison says nothing"
    for name, array in arrays.items():
        assert found[name].shape == array.shape, f"{what}: gradient of {name} has another shape than {name}"
        for flat in rng.choice(array.size, size=min(per_tensor, array.size), replace=False):
            index = np.unravel_index(flat, array.shape)
            before = array[index]
            array[index] = before + step
            above = loss()
            array[index] = before - step
            below = loss()
            array[index] = before
            slope, own = (above - below) / (2 * step), float(found[name][index])
            # Relative to the entry, with the rounding of a difference quotient as the floor.
            allowed = 1e-5 * abs(slope) + 1e-9 * max(1.0, abs(above))
            assert abs(own - slope) <= allowed, (
                f"{what}: d loss / d {name}{list(index)} is {own:.9g}, should be {slope:.9g}"
            )
