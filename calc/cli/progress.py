"""One line of progress on stderr, where that is a terminal: share done, rate, time left."""

from __future__ import annotations

import sys
import time
from typing import Self

from .. import units


class Line:
    """Call with (done, total) as work goes on; leaving its block, or `close`, wipes the line.

    Work done before the first call is not rated.
    """

    def __init__(self, noun: str, show: bool | None = None) -> None:
        self.noun = noun
        self.show = sys.stderr.isatty() if show is None else show
        self.began: tuple[float, int] | None = None
        self.written = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.began is None:
            self.began = (now, done)
        if not self.show or (now - self.written < 0.2 and done < total):
            return
        self.written = now
        took, made = now - self.began[0], done - self.began[1]
        rate = made / took if took > 0 else 0.0
        left = f", {units.duration((total - done) / rate)} left" if rate > 0 and done < total else ""
        speed = f", {rate:,.0f}/s" if rate > 0 else ""
        self._write(f"{100.0 * done / max(total, 1):3.0f} % of {total:,} {self.noun}{speed}{left}")

    def close(self) -> None:
        """Wipe the line and forget the rate."""
        self.began = None
        self._write("")

    def _write(self, text: str) -> None:
        if self.show:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
