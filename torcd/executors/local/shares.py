"""The shares of a lane: how many of it each warden was told that it may run, and how many may be
running there."""

from torcd.model import AttemptKey


class Share:
    """Of one warden, in one lane."""

    __slots__ = ("asked", "before", "followers", "load", "token", "told")

    def __init__(self) -> None:
        self.told: int | None = None
        """How many it may run, by this daemon or an earlier one; None: it was not told."""
        self.token = 0
        """Of what it was told last."""
        self.load = 0
        """How many it has been given that are not over, but for its followers."""
        self.followers: dict[AttemptKey, AttemptKey] = {}
        """Those that take no place yet, as what they come after is not over; with its key."""
        self.before: set[AttemptKey] = set()
        """Those of them that may have been running when its share was lowered."""
        self.asked = 0
        """To withdraw some: 1 for half of those that may wait, 2 for all of them; 0: for none."""

    def take(self, attempt_key: AttemptKey, leader: AttemptKey | None) -> None:
        """It is given this, to come after the leader, which it has as well."""
        if leader is None:
            self.load += 1
        else:
            self.followers[attempt_key] = leader

    def lose(self, attempts: list[AttemptKey]) -> None:
        """These are over."""
        self.before.difference_update(attempts)
        if not self.followers:
            self.load -= len(attempts)
            return
        over = set(attempts)
        self.load -= len(over - self.followers.keys())
        for key in over & self.followers.keys():
            del self.followers[key]
        self.release(over)

    def release(self, leaders: set[AttemptKey]) -> None:
        """Those that came after these take places now."""
        for key in [key for key, leader in self.followers.items() if leader in leaders]:
            del self.followers[key]
            self.load += 1


class Lane:
    __slots__ = ("is_settling", "is_shared", "limit", "shares", "wants_another")

    def __init__(self, parties: int) -> None:
        self.limit = 0
        self.shares = [Share() for _ in range(parties)]
        self.is_shared = False
        """Each warden keeps to its share; else the first has all that are not over."""
        self.is_settling = False
        """Some share is to be raised as soon as another one has got lower."""
        self.wants_another = False
        """It was to be shared, and there was nobody to share it with."""

    def bound(self, number: int) -> int:
        """How many of that warden may run now, at most."""
        share = self.shares[number]
        if share.told is None:
            return 0 if number else self.limit
        return max(share.told, len(share.before))

    def next_party(self) -> int:
        """Who has fewest for its share."""
        best, least = 0, float("inf")
        for number, share in enumerate(self.shares):
            if share.told and (relative := share.load / share.told) < least:
                best, least = number, relative
        return best

    @property
    def room(self) -> int:
        """How many more may be allowed to run; less than none if the limit was lowered."""
        return self.limit - sum(self.bound(number) for number in range(len(self.shares)))

    def target(self, number: int) -> int:
        """Its share of the limit, evenly."""
        least, more = divmod(self.limit, len(self.shares))
        return least + (number < more)
