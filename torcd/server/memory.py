"""What all sessions together may hold.

Each session is bounded by itself: a message of the largest size that it receives, one that waits,
one that is worked on, and one answer that its client does not read. A thousand of them are more
than a machine has. So they share a budget: who wants more when it is spent is cut off, and may try
again. Those who hold little are never touched; a thousand times little is not much.
"""

MAX_HELD_BYTES = 256 << 20
"""Of messages and answers, as they are on the wire; what they are made from comes on top. Sixteen
of the largest by default."""

LITTLE_BYTES = 512 << 10
"""What a session may always hold."""

LARGEST_MESSAGES = 4
"""There is room for so many of the largest, however large that is by the configuration."""


class Memory:
    """The budget, and what is spent of it."""

    def __init__(self, max_message_bytes: int) -> None:
        self._limit_bytes = max(MAX_HELD_BYTES, LARGEST_MESSAGES * max_message_bytes)
        self._held_bytes = 0

    @property
    def is_spent(self) -> bool:
        return self._held_bytes > self._limit_bytes

    def change(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes


class Share:
    """What one session holds, if that is more than a little."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._bytes = 0
        self._is_over = False

    def hold(self, size_bytes: int) -> bool:
        """So much from now on. False: there is no room for it."""
        if size_bytes <= LITTLE_BYTES:
            size_bytes = 0
        if size_bytes == self._bytes or self._is_over:
            return True
        is_more = size_bytes > self._bytes
        self._memory.change(size_bytes - self._bytes)
        self._bytes = size_bytes
        return not (is_more and self._memory.is_spent)

    def give_back(self) -> None:
        """The session is over, whatever its task still does."""
        self.hold(0)
        self._is_over = True
