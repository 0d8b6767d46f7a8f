"""Peak memory and rate of a streamed sweep and of the atlas, each in a process of its own.

    python bench/sweep_memory.py [--cases 100000000] [--folder DIR] [--atlas] [--jobs 2]

The sweep writes `cases` rows of six columns to Parquet (parts, then one file); the file is read back and
counted, then deleted. The atlas covers the whole catalogue. Peak memory is the largest resident size of the
process, children added.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

MIB = 2**20
COLUMNS = "concurrency,isl,osl,tpot_s,ttft_s,output_tok_s_chip,per_m_output"


def watched(command: list[str]) -> tuple[float, float, int, str]:
    """(seconds, processor seconds, peak resident bytes, stdout) of a command, its children included."""
    before, began = os.times(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        root = psutil.Process(process.pid)
        while not done.is_set():
            total = 0
            try:
                for one in (root, *root.children(recursive=True)):
                    total += one.memory_info().rss
            except psutil.NoSuchProcess:
                pass
            peak = max(peak, total)
            done.wait(0.05)

    thread = threading.Thread(target=watch)
    thread.start()
    out, _ = process.communicate()
    done.set()
    thread.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    after = os.times()
    work = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, work, peak, out


def sweep(cases: int, folder: Path) -> None:
    """A grid of requests in flight x input x output lengths of `cases` rows."""
    import pyarrow.parquet as pq

    lengths = round((cases / 1000) ** 0.5)
    target = folder / "sweep.parquet"
    command = [
        sys.executable, "-m", "tokcalc", "sweep", "--chip", "h100", "--model", "llama-70b", "--weights",
        "fp8", "--tp", "8",
        "--grid", f"isl=64:{64 * lengths}:+64", "--grid", f"osl=8:{8 * lengths}:+8", "--grid",
        "concurrency=1:1000:+1",
        "--columns", COLUMNS, "--export", str(target), "--yes",
    ]  # fmt: skip
    seconds, work, peak, _ = watched(command)
    rows, size = pq.ParquetFile(target).metadata.num_rows, os.path.getsize(target)
    target.unlink()
    print(
        f"sweep: {rows:,} rows in {seconds:,.0f} s ({work:,.0f} s of processor), "
        f"{rows / seconds:,.0f} rows/s, file {size / 1e9:.2f} GB, "
        f"peak {peak / MIB:,.0f} MiB"
    )


def atlas(jobs: int, folder: Path) -> None:
    """The whole catalogue."""
    command = [sys.executable, "-m", "tokcalc", "atlas", "--jobs", str(jobs), "--export", str(folder / "atlas.parquet")]
    seconds, work, peak, out = watched(command)
    print(
        f"atlas: {seconds:,.0f} s with {jobs} processes ({work:,.0f} s of processor), "
        f"peak {peak / MIB:,.0f} MiB\n{out.split('Of the')[0].strip()}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=100_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--atlas", action="store_true", help="only the atlas")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if not options.atlas:
            sweep(options.cases, Path(folder))
        atlas(options.jobs, Path(folder))


if __name__ == "__main__":
    main()
