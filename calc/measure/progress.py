"""One line of progress with the time left, on stderr, only where that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence


def clock(seconds: float) -> str:
    """Time left for a person: 40 s, 2 min 10 s."""
    whole = max(0, round(seconds))
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class Progress:
    """Weighted steps, known in advance; `start(name)` before each one.

    The time left is what remains of the expected seconds, scaled by how the done ones compared with theirs.
    """

    def __init__(self, steps: Sequence[tuple[str, float]], show: bool | None = None) -> None:
        self.expected = list(steps)
        self.done = 0.0
        self.begun = time.monotonic()
        self.show = sys.stderr.isatty() if show is None else show
        self._width = 0

    def left(self) -> float:
        """Seconds still to go."""
        total = sum(s for _, s in self.expected)
        rest = max(0.0, total - self.done)
        took = time.monotonic() - self.begun
        return rest * (took / self.done if self.done > 0.1 * total else 1.0)

    def start(self, name: str) -> None:
        """Say what runs now; everything named before it in the plan counts as done."""
        at = next((i for i, (n, _) in enumerate(self.expected) if n == name), None)
        if at is not None:
            self.done = sum(s for _, s in self.expected[:at])
        self._write(f"{name}, about {clock(self.left())} left")

    def close(self) -> None:
        """Wipe the line."""
        self._write("")

    def _write(self, text: str) -> None:
        if not self.show:
            return
        sys.stderr.write("\r" + text.ljust(self._width) + ("\r" if not text else ""))
        sys.stderr.flush()
        self._width = len(text)
