"""Get processes ready before their turn.

When a process has ended, a processor is free, and what lies between that and the next process is
lost. So what can be known of it ahead is put into the form that posix_spawn takes when the order
comes: words, variables, and what to open. Many come at a time, and the same code runs for all of
them with warm caches; after each process that was made they are cold, and the same takes several
times as long.

What may change until then is looked at when its turn has come. Where anything is otherwise than it
was, or goes wrong, there is no process, and `spawning` makes one from the order or says why not.
"""

import os
import struct

from torcd.executors.warden import direct
from torcd.executors.warden.ledger import Order
from torcd.executors.warden.libc import FileActions, SpawnAttributes, address_of, posix_spawn
from torcd.executors.warden.lookup import find_program
from torcd.executors.warden.spawning import DEFAULT_PATH, LOG_MODE, OPEN, TO_DEFAULT

TYPE_CHECKING = False  # as in typing, whose import would cost the warden memory
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_KEPT = 64
"""Forms, and names of directories, that are kept for a workflow: its orders differ in few."""

_END = struct.pack("P", 0)


class Strings:
    """Texts as C has them, for as long as this is kept. Raises ValueError for one with a NUL."""

    __slots__ = ("_texts", "addresses")

    def __init__(self, texts: list[str]) -> None:
        # Names of files may hold bytes that are no text: those are surrogates here.
        self._texts = "\0".join([*texts, ""]).encode("utf-8", "surrogateescape")
        at = address_of(self._texts)
        self.addresses: list[int] = []
        for text in self._texts.split(b"\0"):
            self.addresses.append(at)
            at += len(text) + 1
        self.addresses.pop()
        if len(self.addresses) != len(texts):
            raise ValueError("embedded null byte")


class Shared:
    """The variables that orders share."""

    def __init__(self, variables: dict[str, str]) -> None:
        """Raises ValueError for what no process can have."""
        self.variables = variables
        self.suits = direct.suits(variables)
        """A command may do without bash, as far as these say."""
        _check(variables)
        self._strings = Strings([f"{name}={text}" for name, text in variables.items()])
        self._others: dict[tuple[str, ...], bytes] = {}
        self._elsewhere: dict[str, bool] = {}

    def but(self, names: tuple[str, ...]) -> bytes:
        """Pointers to all of them but those of some names, which are checked."""
        pointers = self._others.get(names)
        if pointers is None:
            _check(names)
            addresses = zip(self.variables, self._strings.addresses, strict=True)
            left = [address for name, address in addresses if name not in names]
            pointers = struct.pack(f"{len(left)}P", *left)
            if len(self._others) == MAX_KEPT:
                self._others.clear()
            self._others[names] = pointers
        return pointers

    def is_elsewhere(self, cwd: str) -> bool:
        """The inherited PWD is no name of this directory."""
        known = self._elsewhere.get(cwd)
        if known is None:
            known = not direct.is_same_directory(self.variables.get("PWD", ""), cwd)
            if len(self._elsewhere) == MAX_KEPT:
                self._elsewhere.clear()
            self._elsewhere[cwd] = known
        return known


class Ready:
    """A process that can be made at once."""

    __slots__ = (
        "_actions",
        "_argv",
        "_attributes",
        "_cwd",
        "_envp",
        "_kept",
        "_name",
        "_old_directory",
        "_path",
        "_program",
    )

    def __init__(self, order: Order, shared: Shared, attributes: SpawnAttributes) -> None:
        """Raises ValueError, IndexError and OSError where that can't be."""
        own, variables = order.env, shared.variables
        words = order.argv if order.plain is None else order.plain
        self._name = "" if "/" in words[0] else words[0]
        """Of a program that is to be looked for in `_path`."""
        self._path = own.get("PATH", variables.get("PATH", DEFAULT_PATH))
        program = find_program(words[0], self._path) if self._name else words[0]
        if program is None:
            raise ValueError("there is no such program")
        self._program = program.encode("utf-8", "surrogateescape")
        self._cwd = ""
        """What the process's directory has to be called then, if that matters."""
        self._old_directory: str | None = None
        """What has to be a directory then, if anything."""
        if order.plain is not None:
            if not shared.suits or not direct.suits_besides(own):
                raise ValueError("it takes bash")
            if variables.get("PWD") != order.cwd:
                if not shared.is_elsewhere(order.cwd):
                    raise ValueError("its directory has two names")
                self._cwd = order.cwd
            self._old_directory = variables.get("OLDPWD")
            level = variables.get("SHLVL", "0")
            own = {**own, "SHLVL": level, "_": program, "PWD": order.cwd}
        strings = Strings([*words, *map("=".join, own.items())])
        self._kept = (strings, shared)
        pointers = struct.pack(f"{len(strings.addresses)}P", *strings.addresses)
        split = len(_END) * len(words)
        self._argv = pointers[:split] + _END
        self._envp = shared.but(tuple(own)) + pointers[split:] + _END
        self._attributes = attributes
        self._actions = actions = FileActions()
        # Standard input is the warden's own, which is /dev/null.
        actions.open(1, order.stdout or os.devnull, OPEN, LOG_MODE)
        if order.stderr == order.stdout:
            actions.dup2(1, 2)
        else:
            actions.open(2, order.stderr or os.devnull, OPEN, LOG_MODE)

    def spawn(self) -> int:
        """Its pid; 0: it cannot be made like that, and nothing was. This process is in the order's
        directory already."""
        if self._name and os.fsencode(find_program(self._name, self._path) or "") != self._program:
            return 0
        if self._cwd and os.getcwd() != self._cwd:
            return 0
        if self._old_directory is not None and not os.path.isdir(self._old_directory):
            return 0
        return posix_spawn(self._program, self._actions, self._attributes, self._argv, self._envp)


class Readier:
    def __init__(self) -> None:
        self._attributes = SpawnAttributes(TO_DEFAULT)

    def ready(self, order: Order, shared: Shared | None) -> Ready | None:
        """None: what is to be done, or what is wrong, is found when its turn has come."""
        if shared is None or order.user is not None:
            return None
        try:
            return Ready(order, shared, self._attributes)
        except (ValueError, OSError, IndexError):
            return None

    def shared(self, variables: dict[str, str]) -> Shared | None:
        """None: no process can have them."""
        try:
            return Shared(variables)
        except ValueError:
            return None


def _check(names: "Iterable[str]") -> None:
    for name in names:
        if not name or "=" in name:
            raise ValueError("illegal environment variable name")
