"""Files of a checkpoint cut short or with a bit flipped: noticed, or without effect; never another content."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from faults.lab import Lab, Outcome, digest_of
from prudent.errors import PrudentError
from prudent.runs import checkpoint

FILES = (checkpoint.STATE, checkpoint.DESCRIPTION, checkpoint.MANIFEST)


def truncations(lab: Lab, every: float = 0.01) -> Outcome:
    """Each file cut at every 1 % of its length."""
    outcome = Outcome(f"each file of a checkpoint cut short, at every {every:.0%}")

    def cuts(content: bytes) -> Iterator[bytes]:
        places = {int(len(content) * k * every) for k in range(round(1 / every))}
        return (content[:place] for place in sorted(places))

    return _damaged(lab, outcome, cuts)


def bit_flips(lab: Lab, every: int = 64) -> Outcome:
    """A bit of every 64th byte of each file flipped, another one each time."""
    outcome = Outcome(f"a bit flipped every {every} bytes of each file of a checkpoint")

    def flips(content: bytes) -> Iterator[bytes]:
        for place in range(0, len(content), every):
            bit = 1 << (place // every) % 8
            yield content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]

    return _damaged(lab, outcome, flips)


def _damaged(lab: Lab, outcome: Outcome, harm) -> Outcome:
    run = lab.folder / "damaged"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(lab.whole, run)
    newest = checkpoint.steps(run)[-1][1]
    expected = _content(newest)
    unchanged = 0
    for name in FILES:
        path = newest / name
        content = path.read_bytes()
        for damaged in harm(content):
            path.write_bytes(damaged)
            outcome.faults += 1
            try:
                place, tensors, description, _ = checkpoint.newest(run)
            except PrudentError:
                outcome.lost += 1  # the one before was whole
                outcome.notes.append(f"{name}: nothing loads")
                continue
            if place == newest:
                unchanged += 1
                if (digest_of(tensors), description) != expected:
                    outcome.silent += 1
                    outcome.notes.append(f"{name}: another content is loaded")
        path.write_bytes(content)
    outcome.figures = {"noticed": outcome.faults - unchanged, "without effect": unchanged}
    return outcome


def _content(folder: Path):
    tensors, description = checkpoint.read(folder)
    return digest_of(tensors), description
