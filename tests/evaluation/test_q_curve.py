"""The shape of average dataset Q: peak, fall, descent, climb."""

import numpy as np
import pytest

from prudent.evaluation.q_curve import shape


@pytest.mark.parametrize(
    ("q", "reference", "peak", "kept", "kind"),
    [
        ([1, 5, 9, 6, 3], 5, 2, 2, "falls"),
        ([1, 5, 9, 6, 3], None, 2, 2, "falls"),
        ([1, 5, 9, 8.3, 9, 8.4, 8.9, 8.8, 8.9], None, 2, 8, "settled"),  # a dip that recovers is noise
        ([1, 5, 9, 8.7, 3], 5, 2, 3, "falls"),  # a drop of less than 5 % does not count
        ([1, 3, 5, 7, 9], None, 4, 4, "climbs"),
        ([-3, -5, -7, -8, -9], None, 4, 4, "descends"),
        ([-3, -5, -7, -8, -9], -20, 4, 4, "descends"),
        ([-3, -5, -7, -8, -9], -7, 2, 2, "falls"),  # below the returns of the log it is no longer a descent
        ([-3, -7, -9, -9, -9], None, 4, 4, "settled"),
        ([-3, -5, -4.8, -6, -7], None, 4, 4, "descends"),  # a small rise does not end the descent
        ([-3, -6, -3, -5, -7], None, 2, 2, "falls"),
        ([-4], -5, 0, 0, "settled"),
    ],
)
def test_the_shape_of_a_curve(q, reference, peak, kept, kind):
    curve = shape(np.array(q, dtype=float), reference)
    assert (curve.peak, curve.kept) == (peak, kept)
    assert [name for name in ("falls", "descends", "climbs") if getattr(curve, name)] == [
        name for name in (kind,) if name != "settled"
    ]
