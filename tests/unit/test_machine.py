"""What the machine has."""

from pathlib import Path

from torcd import machine


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
