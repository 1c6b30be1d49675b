"""Random numbers with one generator per member, so that a member's draws do not depend on the population."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class MemberRng:
    """Draws with the population as first axis, each member from its own generator.

    Each stream ("init", "sample", "noise", ...) of each seed is independent of all others. So a member draws the same
    numbers alone and in any population.
    """

    def __init__(self, seeds: Sequence[int], stream: str, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.generators = [torch.Generator(self.device).manual_seed(_derive(seed, stream)) for seed in seeds]

    def normal(self, *shape: int) -> Tensor:
        """(P, *shape) standard normal."""
        return self._draw(shape, torch.float32, lambda out, g: out.normal_(generator=g))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(P, *shape) uniform on [low, high)."""
        return self._draw(shape, torch.float32, lambda out, g: out.uniform_(low, high, generator=g))

    def integers(self, high: int | Sequence[int], *shape: int) -> Tensor:
        """(P, *shape) int64, uniform on 0 ... high - 1; ``high`` may be one number per member."""
        highs = iter([high] * len(self.generators) if isinstance(high, int) else high)
        return self._draw(shape, torch.int64, lambda out, g: out.random_(0, next(highs), generator=g))

    def _draw(
        self, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[Tensor, torch.Generator], Any]
    ) -> Tensor:
        out = torch.empty((len(self.generators), *shape), dtype=dtype, device=self.device)
        for member, generator in zip(out, self.generators, strict=True):
            fill(member, generator)
        return out

    def state(self) -> Tensor:
        """(P, bytes) uint8: the random state of every generator."""
        return torch.stack([g.get_state() for g in self.generators])

    def restore(self, state: Tensor) -> None:
        """Restore a state from :meth:`state`."""
        for generator, member_state in zip(self.generators, state, strict=True):
            generator.set_state(member_state.clone())


def _derive(seed: int, stream: str) -> int:
    digest = hashlib.sha256(f"{stream}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
