import pytest

from prudent.errors import ConfigError, DataError, EpisodeError, Interrupted, PrudentError


@pytest.mark.parametrize("kind", [PrudentError, DataError, ConfigError, EpisodeError, Interrupted])
def test_a_message_is_one_line_whatever_a_file_calls_its_columns(kind):
    error = kind("log.npz: a\nb\r\nc\u2028d\x0be is encrypted")
    assert str(error) == "log.npz: a b c d e is encrypted"


def test_the_rows_of_an_episode_error_stay():
    error = EpisodeError("log.csv: row 3\nis bad", (3,), "reward is NaN")
    assert (str(error), error.rows, error.reason) == ("log.csv: row 3 is bad", (3,), "reward is NaN")
