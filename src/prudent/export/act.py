"""Acts with an exported policy. Needs NumPy and onnxruntime.  python act.py '{"on_hand": 20, "weekday": "Mon"}'"""
import json, sys  # noqa: E401,I001
from pathlib import Path
import numpy as np, onnxruntime as ort  # noqa: E401

class Policy:  # noqa: E302
    def __init__(self, folder=Path(__file__).parent, seed=None):
        self.about, self.rng = json.loads((Path(folder) / "policy.json").read_text("utf-8")), np.random.default_rng(seed)
