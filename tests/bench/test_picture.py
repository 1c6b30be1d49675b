"""The picture of a benchmark."""

import numpy as np

from helpers.suites import sample
from prudent.bench import picture


def test_the_figure_shows_intervals_seeds_and_the_data():
    figure = picture.comparison(sample())
    first, second = figure.axes
    assert len(second.texts) == len(first.texts) - 1, "a line for data whose mean is not known"
    assert [label.get_text() for label in first.get_yticklabels()] == ["CQL", "BC"]
    drawn = [sorted(np.ravel(line.get_xdata())) for line in first.get_lines()]
    best = sample()["datasets"][0]["algorithms"][0]
    for expected in (sorted(best["ci95"]), sorted(best["seed_iqm"]), [best["iqm"]], [3.5, 3.5]):
        assert any(np.allclose(expected, found) for found in drawn if len(found) == len(expected)), expected
    assert not any(
        len(set(np.ravel(line.get_xdata()))) == 1 and line.get_linestyle() == "--" for line in second.get_lines()
    )
    assert picture.comparison(sample(datasets=[])) is None
