"""README and the pages of docs/ as their reader follows them.

The fenced blocks of a page are carried out in order, in one directory and one shell:

* `console` blocks are typed. A line that begins with `$ ` is a command (`> ` goes on with it); the
  lines below it are what it prints, on standard output and error, line by line. In them, `…` stands
  for anything within a line, a line that is `…` for any number of lines, and how many spaces there
  are does not matter. A command must end well, unless the next one is `echo $?`.
* a `console` block with `needs=PROGRAM` is left out where that program is not installed;
* a block with `title=FILE` is written to that file;
* any other block in a language of specs is a whole spec, and must be valid;
* `sh` blocks set a machine up, `varlink` blocks are generated, `text` blocks are no examples.
"""

import re
from pathlib import Path

import msgspec

LANGUAGES = {"console", "sh", "text", "varlink"}
SPEC_LANGUAGES = {"json5", "json", "yaml", "toml", "kdl"}

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(msgspec.Struct, frozen=True, kw_only=True):
    language: str
    title: str | None = None
    needs: str | None = None
    body: str
    line: int


class Command(msgspec.Struct):
    text: str
    printed: list[str]
    line: int
    may_fail: bool = False


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        language, *facts = match["info"].split()
        found.append(
            Block(
                language=language,
                **dict(fact.split("=") for fact in facts),
                body=match["body"],
                line=text.count("\n", 0, match.start()) + 1,
            )
        )
    assert text.count("\n```") + text.startswith("```") == 2 * len(found), "a block has no end"
    return found


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for number, line in enumerate(block.body.splitlines(), start=block.line + 1):
        if line.startswith("$ "):
            if found and line == "$ echo $?":
                found[-1].may_fail = True
            found.append(Command(line[2:], [], number))
        elif line.startswith("> ") and not found[-1].printed:
            found[-1].text += "\n" + line[2:]
        else:
            found[-1].printed.append(line)
    return found


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether what was printed is what the page says."""
    parts = []
    for line in expected:
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*")
        else:
            words = [re.escape(word).replace("…", r"[^\n]*") for word in line.split()]
            parts.append(r" *" + r" +".join(words) + r" *\n")
    text = "".join(f"{line}\n" for line in printed)
    return re.fullmatch("".join(parts), text) is not None
