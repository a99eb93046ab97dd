"""When a crashing inference process is started again, and when people go on without it.

Rules of this file:
- Pure: time is an argument (monotonic seconds); nothing here starts a process.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class RestartLimit:
    """At most `limit` crashes within `window_s`; beyond that only probes, further and further apart."""

    limit: int = 5
    window_s: float = 60.0
    backoff_s: float = 10.0
    backoff_max_s: float = 300.0
    count: int = 0
    probe_at: float | None = None
    """Set while degraded: when the next attempt is due."""
    _recent: list[float] = field(default_factory=list)
    _failed_probes: int = 0

    @property
    def is_degraded(self) -> bool:
        return self.probe_at is not None

    def crashed(self, now: float) -> None:
        """Records a crash; from the limit on, or when a probe failed, the state is degraded."""
        self.count += 1
        if not self.is_degraded and self._recent and now - self._recent[-1] > 2 * self.backoff_max_s:
            self._failed_probes = 0
        self._recent = [at for at in self._recent if now - at < self.window_s] + [now]
        if self.is_degraded or len(self._recent) >= self.limit:
            wait_s = min(self.backoff_s * 2**self._failed_probes, self.backoff_max_s)
            self._failed_probes = min(self._failed_probes + 1, 16)
            self.probe_at = now + wait_s

    def recovered(self) -> None:
        """A process came up and loaded its models; the next crash within the window degrades again."""
        self.probe_at = None
