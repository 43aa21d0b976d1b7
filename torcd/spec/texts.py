"""Texts that programs are handed by the kernel, and what cannot be in them."""

from collections.abc import Iterator, Mapping, Sequence

from torcd.spec.problems import Finding, Path, quoted


def check_text(text: str, path: Path) -> Sequence[Finding]:
    return [Finding(path, "the text has a NUL character")] if "\0" in text else ()


def check_env(env: Mapping[str, str], path: Path) -> Iterator[Finding]:
    """What is wrong with names and texts of environment variables."""
    for name, text in env.items():
        if not name:
            yield Finding((*path, name), "the name of an environment variable is empty")
        elif "=" in name or "\0" in name:
            message = f"{quoted(name)} cannot be the name of an environment variable"
            yield Finding((*path, name), message, "it has a `=` or a NUL")
        yield from check_text(text, (*path, name))
