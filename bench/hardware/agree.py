"""Two runs of `tokcalc bench` on one machine: which constants agree within 5 %.

python bench/hardware/agree.py first.samples.json second.samples.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokcalc.measure.compare import compare_constants, sentence

if __name__ == "__main__":
    first, second = (json.loads(Path(p).read_text(encoding="utf-8")) for p in sys.argv[1:3])
    changes = compare_constants(first["constants"], second["constants"])
    for change in changes:
        mark = "" if change.agrees else "   differs"
        print(f"{change.name:45s} {change.old:12.5g} {change.new:12.5g} {change.ratio - 1:+7.1%}{mark}")
    print(sentence(changes, first["date"]))
    pairs = {
        (c["engine"], c["model"], c["weights"], c["kind"], c["tokens"], c["context"], c["batch"]): c
        for c in first["checks"]
    }
    print("\nPredicted seconds of the same runs")
    for c in second["checks"]:
        old = pairs.get((c["engine"], c["model"], c["weights"], c["kind"], c["tokens"], c["context"], c["batch"]))
        if old:
            what = f"{c['engine']} {c['model']} {c['weights']} {c['kind']} {c['tokens'] or c['context']}"
            ratio = c["predicted_s"] / old["predicted_s"] - 1
            print(f"{what:45s} {old['predicted_s']:12.5g} {c['predicted_s']:12.5g} {ratio:+7.1%}")
