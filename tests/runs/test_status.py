"""What is said of runs that have not finished."""

import pytest

from prudent.errors import ConfigError
from prudent.runs.folder import write_json
from prudent.runs.status import check_ended, write_status
from prudent.training.interrupts import advice_on_interrupt


@pytest.mark.parametrize("state", ["interrupted", "failed"])
def test_one_line_for_a_run_that_stopped_early(tmp_path, capsys, state):
    write_status(tmp_path, state, 7, 20, "a message")
    check_ended(tmp_path)
    assert capsys.readouterr().out == f"{tmp_path} did not finish: {state} at step 7 of 20\n"


def test_silence_for_one_that_finished_and_for_a_checkpoint(tmp_path, capsys):
    check_ended(tmp_path)
    write_status(tmp_path, "finished", 20, 20)
    check_ended(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_run_that_still_trains_is_refused(tmp_path):
    write_status(tmp_path, "running", 7, 20)
    with pytest.raises(ConfigError, match="still training or was killed: resume it first: prudent train --resume"):
        check_ended(tmp_path)
    write_json(tmp_path / "config.json", {"finetuned_from": {}})
    with pytest.raises(ConfigError, match="fine-tune anew"):
        check_ended(tmp_path)


def test_ctrl_c_says_how_to_go_on():
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted; do this$"), advice_on_interrupt("do this"):
        raise KeyboardInterrupt
