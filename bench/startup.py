"""Start-up of the main question against `python -c "import numpy, typer"`: one run, interleaved, medians.

    python bench/startup.py [REPEATS]

Prints both medians with their quartiles and the ratio; DESIGN's target is at most 1.5.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

QUESTION = [sys.executable, "-m", "tokcalc", "--chip", "cerebras", "--model", "llama-70b"]
YARDSTICK = [sys.executable, "-c", "import numpy, typer"]
TARGET = 1.5
# As an installed program runs: its byte code is on disk.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(command: list[str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - start


def quartiles(times: list[float]) -> str:
    """Median and quartiles in milliseconds."""
    low, middle, high = (1e3 * value for value in statistics.quantiles(times, n=4))
    return f"{middle:6.1f} ms  ({low:.1f} to {high:.1f})"


def main() -> None:
    """Warm both, time them in turn, print the ratio of the medians."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    for command in (QUESTION, YARDSTICK):
        seconds(command)
        seconds(command)
    ours, theirs = zip(*((seconds(QUESTION), seconds(YARDSTICK)) for _ in range(repeats)), strict=True)
    print(f"tokcalc --chip cerebras --model llama-70b  {quartiles(list(ours))}")
    print(f"import numpy, typer                        {quartiles(list(theirs))}")
    print(f"ratio {statistics.median(ours) / statistics.median(theirs):.2f}, target at most {TARGET}")


if __name__ == "__main__":
    main()
