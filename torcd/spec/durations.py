"""Durations as people write them, in ISO 8601."""

import re

_NUMBER = r"(\d{1,12}(?:[.,]\d{1,6})?)"
_DURATION = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?\Z",
    re.ASCII,
)
_SECONDS = (7 * 86_400, 86_400, 3_600, 60, 1)
_MAX_SECONDS = 1_000 * 366 * 86_400


def duration_seconds(text: str) -> float | None:
    """ "PT1H30M" is 5400; None if it is no duration, or none at all. Months and years are none:
    they have no fixed length."""
    match = _DURATION.match(text.strip())
    if match is None or text.strip()[-1:] in ("P", "T"):
        return None
    numbers = [float((number or "0").replace(",", ".")) for number in match.groups()]
    seconds = sum(number * unit for number, unit in zip(numbers, _SECONDS, strict=True))
    return seconds if 0 < seconds <= _MAX_SECONDS else None
