"""Records an episode as a GIF, also on machines without a screen.

A failure here never stops a training: it is logged in one line, and the training goes on.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prudent import files
from prudent.environments import vector
from prudent.environments.make import uses_mujoco
from prudent.errors import PrudentError, in_one_line
from prudent.progress import watched

if TYPE_CHECKING:
    from PIL.Image import Image

    from prudent.evaluation.rollouts import Acting

_MOST_FRAMES = 200
_MOST_BYTES = 1_500_000

# The first steps of gymnasium's MuJoCo renderer: create a context of the backend, then the scene's buffers in it.
_PROBE = """
import sys, importlib, mujoco
context = importlib.import_module("mujoco." + sys.argv[1]).GLContext(64, 64)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
"""


def record(
    population: Acting,
    env_id: str,
    path: str | Path,
    *,
    member: int = 0,
    seed: int = 0,
    deterministic: bool = True,
    max_steps: int = 1000,
    fps: int = 25,
    size: int = 240,
) -> Path | None:
    """Run one member for one episode and write it as an animated GIF of at most about 1.5 MB.

    The GIF has about ``fps`` frames per second and runs in real time, if the environment says how long a step is. It
    stops after 200 frames, ``max_steps`` steps or the end of the episode. Its longer side has ``size`` pixels. The file
    is complete or does not exist.

    Returns:
        The path, or None if there is no GIF; the reason is logged as a warning of the logger ``prudent``.
    """
    try:
        reason = why_not(env_id)
        if reason is not None:
            raise PrudentError(reason)
        frames, rate = _frames(population, env_id, member, seed, deterministic, max_steps, fps, size)
        return _write(frames, rate, Path(path))
    except Exception as error:  # noqa: BLE001 - drivers raise anything, and training must go on
        text = str(error) if isinstance(error, PrudentError) else in_one_line(error, with_kind=True)
        logging.getLogger("prudent").warning("no picture of %s: %s", env_id, text)
        return None


def why_not(env_id: str) -> str | None:
    """Why an environment cannot be drawn on this machine, in one line; None if it probably can.

    For MuJoCo this sets ``MUJOCO_GL`` for the process, unless it is set already: EGL if it works, else OSMesa.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame, without a screen
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    # On macOS and Windows MuJoCo's own choice draws without a screen.
    if not uses_mujoco(env_id) or sys.platform != "linux":
        return None
    chosen = os.environ.get("MUJOCO_GL")
    for backend in [chosen] if chosen else ["egl", "osmesa"]:
        if _draws(backend):
            os.environ["MUJOCO_GL"] = backend
            return None
    if chosen:
        return f"MUJOCO_GL={chosen} does not draw on this machine; unset it to try egl and osmesa"
    return "MuJoCo can draw neither with EGL nor with OSMesa; install one (Debian: libegl1 or libosmesa6)"


@functools.cache
def _draws(backend: str) -> bool:
    """Whether MuJoCo can draw with an OpenGL backend on this machine.

    This is tried in another process: after a failed attempt PyOpenGL stays bound to that backend, so that no other one
    could be tried, and a bad driver may crash the process.
    """
    command = [sys.executable, "-c", _PROBE, backend]
    environment = {**os.environ, "MUJOCO_GL": backend}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _frames(
    population: Acting,
    env_id: str,
    member: int,
    seed: int,
    deterministic: bool,
    max_steps: int,
    fps: int,
    size: int,
) -> tuple[list[Image], float]:
    """The pictures of an episode, and how many to show per second."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    frames: list[Image] = []
    with vector.Environments(env_id, 1, render_mode="rgb_array") as environments:
        env = environments.envs[0]
        _draw_fast(env)
        _follow(env)
        steps_per_second = float(env.metadata.get("render_fps") or fps)
        stride = max(1, round(steps_per_second / fps))
        observation = environments.reset([seed])
        limit = min(max_steps, environments.time_limit or max_steps)
        for step in watched(range(limit + 1), f"filming {env_id}", "steps"):
            if step % stride == 0:
                frames.append(_picture(env.render(), size))
            if not environments.active.any() or len(frames) == _MOST_FRAMES:
                break
            stacked = np.repeat(observation[None], population.size, axis=0)
            allowed = environments.allowed(population.spec.action_size)
            mask = None if allowed is None else np.repeat(allowed[None], population.size, axis=0)
            action = population.act(stacked, deterministic, generator, mask=mask)[member]
            spec = population.spec
            if not (action >= spec.first_action if spec.discrete else np.isfinite(action)).all():
                raise PrudentError(f"{population.names[member]} has diverged: its action is not a number")
            observation, *_ = environments.step(action)
    return frames, steps_per_second / stride


def _draw_fast(env: object) -> None:
    """Use smaller shadow maps and no multisampling (pictures are scaled down anyway): a third of the time on a CPU."""
    model = getattr(getattr(env, "unwrapped", None), "model", None)
    quality = getattr(getattr(model, "vis", None), "quality", None)
    if quality is not None:
        quality.shadowsize, quality.offsamples = 1024, 0


def _follow(env: object) -> None:
    """Use the model's camera ``track``, if it has one: a runner leaves a fixed picture within a second."""
    unwrapped = getattr(env, "unwrapped", None)
    model, renderer = getattr(unwrapped, "model", None), getattr(unwrapped, "mujoco_renderer", None)
    if model is None or renderer is None:
        return
    names = [model.camera(index).name for index in range(model.ncam)]
    if "track" in names:
        renderer.camera_id = names.index("track")


def _picture(frame: object, size: int) -> Image:
    from PIL import Image

    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[-1] != 3:
        raise PrudentError("the environment draws no pictures (rgb_array)")
    image = Image.fromarray(frame.astype(np.uint8))
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return image


def _write(frames: list[Image], rate: float, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _gif(frames, rate)
    while len(content) > _MOST_BYTES and len(frames) >= 20:
        frames, rate = frames[::2], rate / 2
        content = _gif(frames, rate)
    return files.replace(path, content, durable=False)


def _gif(frames: list[Image], rate: float) -> bytes:
    """A GIF with one palette for all frames and without dithering: no flicker, and half the size."""
    from PIL import Image

    samples = frames[:: max(1, len(frames) // 8)][:8]
    width, height = frames[0].size
    sheet = Image.new("RGB", (width, height * len(samples)))
    for index, frame in enumerate(samples):
        sheet.paste(frame, (0, index * height))
    # Maximum coverage keeps rare colours, such as those of a small robot on a large floor.
    palette = sheet.quantize(128, method=Image.Quantize.MAXCOVERAGE)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    # GIF counts in hundredths of a second, and viewers slow down frames that are shorter than 2 of them.
    duration = max(20, round(100 / rate) * 10)
    content = io.BytesIO()
    small[0].save(content, format="GIF", save_all=True, append_images=small[1:], duration=duration, loop=0)
    return content.getvalue()
