"""Plain-text tables."""

from prudent.report.terminal import cell, evaluation_table, text_table

FIGURES = {
    "return_mean": -123.456,
    "return_std": 1.0,
    "normalized_score": None,
    "iqm": -120.0,
    "ci95": [-130.0, -110.04],
    "predicted_value": 9.96,
    "realized_value": 12.0,
    "lower_bound_share": 0.5,
}


def test_columns_are_as_wide_as_their_content():
    assert text_table(["a", "value"], [["long name", "1"], ["b", "100000"]]).splitlines() == [
        "a           value",
        "---------  ------",
        "long name       1",
        "b          100000",
    ]


def test_cells():
    assert cell("return_mean", -123.456) == "-123.5"
    assert cell("ci95", [1.0, 2.25]) == "1.0 to 2.2"
    assert cell("lower_bound_share", 0.5) == "50%"
    assert cell("anything", None) == "-"


def test_what_nobody_has_is_left_out_and_all_are_summed_up():
    lines = evaluation_table({"overall": FIGURES, "members": {"seed=0": FIGURES, "seed=1": FIGURES}}).splitlines()
    assert "score" not in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["seed=0", "seed=1", "all"]
    alone = evaluation_table({"overall": FIGURES, "members": {"seed=0": FIGURES}}).splitlines()
    assert [line.split()[0] for line in alone[2:]] == ["seed=0"]


def test_a_member_without_figures():
    empty = dict.fromkeys(FIGURES)
    lines = evaluation_table({"overall": empty, "members": {"lost": empty, "fine": FIGURES}}).splitlines()
    assert lines[2].split() == ["lost", *["-"] * 7]


def test_several_settings_have_a_row_each_instead_of_one_over_all():
    names = ["alpha=1,seed=0", "alpha=1,seed=1", "alpha=5,seed=0", "alpha=5,seed=1"]
    settings = {"alpha=1": {**FIGURES, "return_mean": 22.5, "ci95": [20.0, 25.0]}, "alpha=5": FIGURES}
    summary = {"overall": FIGURES, "members": dict.fromkeys(names, FIGURES), "settings": settings}
    lines = evaluation_table(summary).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [*names, "alpha=1", "alpha=5"]
    assert "22.5" in lines[6]
    assert "20.0 to 25.0" in lines[6]


def test_settings_of_one_seed_each_are_not_repeated():
    members = {"alpha=1,seed=0": FIGURES, "alpha=5,seed=0": FIGURES}
    settings = {"alpha=1": FIGURES, "alpha=5": FIGURES}
    lines = evaluation_table({"overall": FIGURES, "members": members, "settings": settings}).splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(members)
    one = {"overall": FIGURES, "members": {"seed=0": FIGURES, "seed=1": FIGURES}, "settings": {}}
    assert evaluation_table(one).splitlines()[-1].split()[0] == "all"
