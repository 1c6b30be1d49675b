"""How to train, apart from the settings of the algorithm."""

from dataclasses import dataclass

from prudent.config import check_whole, check_within
from prudent.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """How to train, apart from the settings of the algorithm."""

    steps: int = 100_000  # gradient steps in total
    env: str | None = None  # Gymnasium id of the environment for evaluations; none means no evaluation
    log_every: int = 1_000  # steps between lines of metrics
    eval_every: int = 5_000  # steps between evaluations
    eval_episodes: int = 10  # episodes per evaluation and member
    checkpoint_every: int = 5_000  # steps between checkpoints; a new best evaluation saves one too
    keep: int = 3  # newest checkpoints to keep; the one with the best evaluation is kept too
    max_minutes: float | None = None  # save and stop after this many minutes, to be resumed; none is no limit
    divergence_factor: float | None = 100.0  # diverged if |Q| exceeds this times r_max / (1 - discount); none: NaN only
    rollbacks: int = 0  # times a diverged member is set back, with half the learning rates, before it is stopped
    logger: tuple[str, ...] | None = None  # where metrics go: jsonl, tensorboard, wandb, mlflow; none: the first two
    video: bool = False  # record a GIF of the first member at each evaluation
    device: str = "auto"  # auto, cpu, cuda or mps
    threads: int | None = None  # CPU threads; none uses PyTorch's default
    tf32: bool = True  # round the factors of float32 products to 10 bits (TF32) on CUDA: several times as fast

    def __post_init__(self):
        self.check()
        if self.video and self.env is None:
            raise ConfigError("video needs an environment to film: give env")

    def check(self) -> None:
        """Check the ranges of these settings, each by itself.

        Raises:
            ConfigError: one is out of its range.
        """
        check_whole(self, 1, "steps", "log_every", "eval_every", "eval_episodes", "checkpoint_every", "keep", "threads")
        check_whole(self, 0, "rollbacks")
        check_within(self, 1, 4096, "threads")
        if self.divergence_factor is not None and not self.divergence_factor > 0:
            raise ConfigError(f"divergence_factor must be above 0, got {self.divergence_factor:g}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ConfigError(f"max_minutes must be above 0, got {self.max_minutes:g}")
        if isinstance(self.logger, str) or not all(isinstance(name, str) for name in self.logger or ()):
            raise ConfigError(f"logger must be a list of names, got {self.logger!r}")
        if not isinstance(self.tf32, bool):
            raise ConfigError(f"tf32 must be True or False, got {self.tf32!r}")
