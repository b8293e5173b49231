import pytest

from stainproof.config.parsing import parse_duration
from stainproof.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("2h", 7200), ("1h2m3s", 3723), (" 5M ", 300)],
)
def test_durations_are_parsed_to_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "0s", "0h0m", "20", "m", "-5m", "1.5h", "30m1h", "five minutes", "5 m",
             "9" * 400 + "s", "9" * 5000 + "h"]
)  # fmt: skip
def test_an_invalid_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="90s, 20m"):
        parse_duration(text)
