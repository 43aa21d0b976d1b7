"""README and docs/ say what is so: their examples are carried out, their lists are complete."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from docs import generate
from tests import page
from tests.page import LANGUAGES, SPEC_LANGUAGES, Block, Command
from tests.user_world import PATIENCE_SECONDS, ROOT, User, a_user
from torcctl import commands
from torcctl.settings import Settings
from torcd import spec
from torcd.config import Config

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAPERS = [
    *PAGES,
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    ROOT / "configs" / "examples" / "README.md",
    *sorted((ROOT / "docs" / "adr").glob("*.md")),
]

SET_UP = ("make ", "git clone ", "cd ", "python3 -m venv ~/torcd", "~/torcd/bin/pip install .")
"""How a line begins that a test cannot carry out: it changes the machine, or takes a network."""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with a_user(tmp_path) as somebody:
        yield somebody


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_what_a_page_shows_happens(path: Path, user: User) -> None:
    typed: list[Command] = []
    script = ["exec 2>&1"]
    for block in page.blocks(path):
        if block.title is not None:
            script.append(f"cat > {block.title} <<'END OF FILE'\n{block.body}END OF FILE")
        elif block.language == "console" and (not block.needs or shutil.which(block.needs)):
            for command in page.commands(block):
                typed.append(command)
                script.append(f"{command.text}\ncode=$?; printf '\\1%s\\2' $code; (exit $code)")
    file = user.home / "script.sh"
    file.write_text("\n".join(script) + "\n")
    done = subprocess.run(
        ["bash", str(file)],
        stdin=subprocess.DEVNULL,
        env=user.environment,
        cwd=user.directory,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    outcomes = [piece.split("\1") for piece in done.stdout.split("\2")[:-1]]
    assert len(outcomes) == len(typed), done.stdout
    for command, (printed, code) in zip(typed, outcomes, strict=True):
        where = f"{_name(path)}:{command.line}: {command.text}\n{printed}"
        assert code == "0" or command.may_fail, f"{where}\nended with {code}"
        assert page.matches(command.printed, printed.splitlines()), where


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_block_of_a_page_is_an_example_or_says_that_it_is_none(path: Path) -> None:
    found = page.blocks(path)
    for block in found:
        if block.title is not None:
            others = [other.body for other in found if other is not block]
            assert any(block.title in body for body in others), f"{block.title} is not used"
        elif block.language in SPEC_LANGUAGES:
            spec.read(block.body.encode(), file=f"page.{block.language}")
        else:
            assert block.language in LANGUAGES, f"{_name(path)}:{block.line}"


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_what_sets_a_machine_up_exists(path: Path) -> None:
    for block in page.blocks(path):
        if block.language == "sh":
            for line in block.body.splitlines():
                words = line.split("#")[0].split()
                assert line.startswith(SET_UP), f"{_name(path)}:{block.line}: {line}"
                if words[0] == "make":
                    _make_knows(words[1])


def _make_knows(target: str) -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert target in phony[1].split()


@pytest.mark.parametrize("path", generate.pages(), ids=_name)
def test_what_is_made_from_the_code_is_up_to_date(path: Path) -> None:
    text = path.read_text()
    assert generate.generated(text) == text, "run: make docs"


@pytest.mark.parametrize("path", generate.files(), ids=_name)
def test_files_that_are_made_from_the_code_are_up_to_date(path: Path) -> None:
    assert path.read_text() == generate.files()[path], "run: make docs"


def test_there_is_no_manual_page_that_nothing_makes() -> None:
    made = {path for path in generate.files() if path.parent.name == "man"}
    assert set((ROOT / "docs" / "man").iterdir()) == made


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "man").iterdir()), ids=_name)
def test_a_manual_page_is_understood(path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_the_manual_has_every_command_and_every_key() -> None:
    manual = (ROOT / "docs" / "man" / "torcctl.1").read_text().replace("\\-", "-")
    for name in commands.NAMES:
        assert f"\n.SS torcctl {name} " in manual, name
    for struct, name in ((Config, "torcd.toml.5"), (Settings, "torcctl.toml.5")):
        text = (ROOT / "docs" / "man" / name).read_text()
        for key in struct.__struct_fields__:
            meaning = re.search(rf"^\.TP\n\\fB{key}\\fR = .+\n(.+)$", text, re.MULTILINE)
            assert meaning is not None, key
            assert not meaning[1].startswith("."), f"{key} has no docstring"


def test_the_spec_reference_has_every_struct_and_every_field() -> None:
    text = (ROOT / "docs" / "spec_reference.md").read_text()
    tables = re.findall(r"((?:^\|.*\n)+)", text, re.MULTILINE)
    for name, struct in msgspec.json.schema(spec.WorkflowSpec)["$defs"].items():
        rows = [f"| `{field}`" for field in struct["properties"]]
        assert any(all(row in table for row in rows) for table in tables), name


@pytest.mark.parametrize("path", PAPERS, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_every_setting_of_torcctl_is_explained() -> None:
    text = (ROOT / "docs" / "command_reference.md").read_text()
    for key in Settings.__struct_fields__:
        assert f"| `{key}` | " in text, key


def test_the_architecture_is_short_and_names_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert len(text.splitlines()) < 200
    for entry in (ROOT / "torcd").iterdir():
        if entry.suffix in ("", ".py") and not entry.name.startswith("__"):
            assert f"`{entry.stem}" in text, entry.stem


def test_every_module_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for name in re.findall(r"`((?:torcd|torcctl|tests|configs|docs)/[\w./]*)`", text):
        assert (ROOT / name).exists() or (ROOT / f"{name}.py").exists(), name


def test_every_decision_is_in_the_list() -> None:
    listed = (ROOT / "docs" / "adr" / "README.md").read_text()
    for record in (ROOT / "docs" / "adr").glob("0*.md"):
        title = record.read_text().splitlines()[0].partition(": ")[2]
        assert f"({record.name}) | {title} |" in listed, record.name


# The reader of pages itself


def test_output_that_differs_from_the_page_is_seen() -> None:
    assert page.matches(["KEY  NAME", "1 …"], ["KEY NAME", "  1   diamond"])
    assert page.matches(["a", "…", "z"], ["a", "b", "c", "z"])
    assert page.matches(["started … (pid …)"], ["started torcd (pid 12)"])
    assert not page.matches(["a"], ["a", "b"])
    assert not page.matches(["a"], [])
    assert not page.matches(["ab"], ["a b"])


def test_commands_go_on_over_lines_and_may_fail_if_the_page_asks() -> None:
    body = "$ cat <<E\n> x\n> E\nx\n$ false\n$ echo $?\n1\n"
    block = Block(language="console", body=body, line=1)
    assert page.commands(block) == [
        Command("cat <<E\nx\nE", ["x"], 2),
        Command("false", [], 6, may_fail=True),
        Command("echo $?", ["1"], 7),
    ]
