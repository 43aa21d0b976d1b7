"""What the machine has, and how amounts of memory are written."""

from pathlib import Path

import pytest

from torcd import amount, machine


def test_gpus_are_counted_by_their_device_files(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:       16384 kB\nMemFree:  1 kB\n")
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / "dev" / name).touch()
    found = machine.capacity(tmp_path)
    assert (found.memory_bytes, found.gpus) == (16384 * 1024, 3)


def test_this_machine_has_something() -> None:
    found = machine.capacity()
    assert found.cpus >= 1
    assert found.memory_bytes > 1 << 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", 512),
        ("512k", 512 << 10),
        ("512K", 512 << 10),
        ("2m", 2 << 20),
        ("2 GB", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("3t", 3 << 40),
        ("7b", 7),
    ],
)
def test_memory_is_counted_in_powers_of_1024(text: str, expected: int) -> None:
    assert amount.memory_bytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "much", "-1g", "0", "0.1", "1e9", "٣g", "1x", "2gg", "9" * 99]
)
def test_what_is_no_amount_of_memory_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match='like "512m" or "2g"'):
        amount.memory_bytes(text)
