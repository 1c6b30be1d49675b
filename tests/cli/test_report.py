"""``prudent report``."""

from helpers.runs import prudent


def test_report_again(finished, capsys, monkeypatch):
    from prudent import report

    called = []
    monkeypatch.setattr(report, "write_report", lambda *words: called.append(words) or "there")
    assert prudent("report", finished) == 0
    assert prudent("report", finished, "--compare", f"BC={finished}") == 0
    assert called == [(finished, None), (finished, {"BC": finished})]
    assert capsys.readouterr().out == "there\nthere\n"
