"""A watchdog for zombie links: connected, as far as the adapter knows, but nothing comes any more."""

from collections.abc import Iterable

from ingest.profiles.profile import Watch
from ingest.records import Kind
from store.units import NS_PER_S

FIRST_FRAME_S = 40.0
"""Wrist sensors take up to 25 s to their first heart rate; a link without any frame for longer is dead."""


class Watchdog:
    """What has to keep coming over one link, and since when it has not.

    A watched kind that has come once may be silent for as long as its watch says. Until then it may never
    come, as heart rate from a watch that is not measuring; so any other frame shows that the link lives.

    Parameters
    ----------
    now_ns : int
        When the link began, on the monotonic clock.
    """

    def __init__(self, now_ns: int) -> None:
        self._watches: list[Watch] = []
        self._heard_ns: dict[Kind, int] = {}
        self._last_ns = now_ns

    @property
    def has_heard(self) -> bool:
        """Whether any frame came that the link is there for."""
        watched = {watch.kind for watch in self._watches}
        return bool(watched & self._heard_ns.keys() if watched else self._heard_ns)

    def watch(self, watches: Iterable[Watch], now_ns: int) -> None:
        """Watch these kinds too, from now on."""
        self._watches += watches
        self._last_ns = max(self._last_ns, now_ns)

    def heard(self, kind: Kind, now_ns: int) -> None:
        """Note that a frame came."""
        self._heard_ns[kind] = self._last_ns = now_ns

    def verdict(self, now_ns: int) -> str | None:
        """Return why the link is dead, None if it is not."""
        due_ns, why = min((self._due(watch) for watch in self._watches), default=(now_ns + 1, ""))
        return why if due_ns <= now_ns else None

    def look_again_s(self, now_ns: int) -> float | None:
        """Return how long until the link may be dead, None if nothing is watched.

        What arrives meanwhile may bring that nearer: with its first frame a kind may be silent for less.
        """
        if not self._watches:
            return None
        due_ns = min(self._due(watch)[0] for watch in self._watches)
        return min((due_ns - now_ns) / NS_PER_S, *(watch.silent_after_s for watch in self._watches))

    def _due(self, watch: Watch) -> tuple[int, str]:
        heard_ns = self._heard_ns.get(watch.kind)
        if heard_ns is None:
            patience_s = max(FIRST_FRAME_S, watch.silent_after_s)
            return self._last_ns + round(patience_s * NS_PER_S), f"no data for {patience_s:g} s"
        return (
            heard_ns + round(watch.silent_after_s * NS_PER_S),
            f"no {watch.kind.replace('_', ' ')} for {watch.silent_after_s:g} s",
        )
