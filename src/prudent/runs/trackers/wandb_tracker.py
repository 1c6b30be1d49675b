"""Weights & Biases. Its files lie in ``wandb/`` beside the run folder, or where ``WANDB_DIR`` says.

Nothing is sent unless ``WANDB_MODE=online``: ``wandb sync`` sends the files later. Project, name and all else follow
W&B's own environment variables.
"""

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from prudent.errors import ConfigError
from prudent.runs.trackers.tracker import FINISHED, PROJECT, Tracked, Tracker

_MODES = ("offline", "online", "disabled")


def check_environment() -> None:
    """Refuse a ``WANDB_MODE`` that W&B does not have.

    Raises:
        ConfigError: it is none of ``offline``, ``online`` and ``disabled``.
    """
    if _mode() not in _MODES:
        raise ConfigError(f"WANDB_MODE is {_mode()!r}, which is none of {', '.join(_MODES)}")


def _mode() -> str:
    return os.environ.get("WANDB_MODE") or "offline"


class WandbTracker(Tracker):
    """A run of Weights & Biases."""

    keeps = False  # W&B's own process writes them within 15 seconds, unless it is killed with this one

    def __init__(self, run: Tracked, handle: Any):
        super().__init__(run)
        self._handle = handle
        self._last: tuple[int, dict[str, Any]] | None = None

    @classmethod
    def open(cls, run: Tracked) -> Self:
        """See :class:`Tracker`."""
        if _mode() != "online":
            # Without this, W&B reports its own crashes to its makers.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        if not os.environ.get("WANDB_MODE", "offline"):
            del os.environ["WANDB_MODE"]  # W&B refuses an empty one
        import wandb

        folder = run.folder.resolve()
        handle = wandb.init(
            id=run.run_id or uuid.uuid4().hex[:12],
            resume="allow",
            mode=_mode(),  # pyright: ignore[reportArgumentType] - check_environment has looked at it
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=os.environ.get("WANDB_NAME") or folder.name,
            dir=os.environ.get("WANDB_DIR") or str(folder.parent),
            config=dict(run.config),
            reinit="create_new",  # a run that the user has begun stays as it is
            # Quiet, as this library says itself where the run is; and what the screen shows is no part of it.
            settings=wandb.Settings(console="off", silent=True),
        )
        handle.config.update(dict(run.config), allow_val_change=True)
        return cls(run, handle)

    @property
    def run_id(self) -> str:
        """See :class:`Tracker`."""
        return self._handle.id

    @property
    def place(self) -> str:
        """See :class:`Tracker`."""
        if _mode() == "online":
            return f"wandb: {self._handle.url}"
        if _mode() == "disabled":
            return "wandb: writes nothing, as WANDB_MODE=disabled says"
        return f"wandb: nothing is sent; to send it: wandb sync {Path(self._handle.dir).parent}"

    def send(self, lines: Mapping[int, Mapping[str, float]]) -> None:
        """See :class:`Tracker`. The last line waits for pictures: W&B takes no second line of a step."""
        for step, line in lines.items():
            self._send_last()
            self._last = (step, dict(line))

    def _send_last(self) -> None:
        if self._last is not None:
            step, line = self._last
            self._last = None
            self._handle.log(line, step=step, commit=True)

    def attach(self, paths: Sequence[Path]) -> None:
        """One artefact with all files, of type ``run-folder``; pictures also beside the figures of the last step."""
        import wandb

        if self._last is not None:
            pictures = [path for path in paths if path.suffix == ".png"]
            self._last[1].update({f"pictures/{path.stem}": wandb.Image(str(path)) for path in pictures})
        artifact = wandb.Artifact(f"prudent-{self.run_id}", type="run-folder")
        for path in paths:
            artifact.add_file(str(path), name=path.relative_to(self.run.folder).as_posix())
        self._handle.log_artifact(artifact)

    def end(self, state: str) -> None:
        """See :class:`Tracker`."""
        self._send_last()
        self._handle.finish(exit_code=0 if state == FINISHED else 1)

    def abandon(self) -> None:
        """See :class:`Tracker`. W&B's process would not open the run again while it holds it."""
        self._handle.finish(exit_code=1)
