"""How amounts of memory are written, in specs and in the configuration."""

import pytest

from torcd import amount


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", 512),
        (" 512 ", 512),
        ("+512", 512),
        ("512k", 512 << 10),
        ("512K", 512 << 10),
        ("2m", 2 << 20),
        ("2mb", 2 << 20),
        ("2 GB", 2 << 30),
        ("2  gi", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("3t", 3 << 40),
        ("1p", 1 << 50),
        ("7b", 7),
        ("0", 0),
        ("0.0g", 0),
        (f"{2**63 - 1}", 2**63 - 1),
    ],
)
def test_memory_is_counted_in_powers_of_1024(text: str, expected: int) -> None:
    assert amount.memory_bytes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "much",
        "g",
        "-1g",
        "0.1",
        "1e9",
        "٣g",
        "1x",
        "2gg",
        "1.g",
        "8388608t",
        f"{2**63}",
        "9" * 99,
        "1." + "0" * 30,
    ],
)
def test_what_is_no_amount_of_memory_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match='write it like "512m" or "2g"'):
        amount.memory_bytes(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (2 << 30, "2 GiB"),
        (3 << 50, "3072 TiB"),
    ],
)
def test_an_amount_is_told_in_its_largest_unit(count: int, text: str) -> None:
    assert amount.memory_text(count) == text
