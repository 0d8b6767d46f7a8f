"""What remarks on accelerators' measured rows tell about their prompts: hits in a prefix cache.

Stands beside `row_inputs`, before `cases`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from .row_inputs import numbers, texts

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
# One protocol sends the same prompts again to servers that keep prefixes. It prints 5.4 prompts of 1,024 tokens a
# second of a 14B beside 128 caches of 0.23 GB on a card of 48 GB, 30 of them weights, and 8 of an 8B on an A6000 (79 %
# of its peak for prompts, 67 % of its bandwidth for weights): neither is possible unless prompts come from the cache.
_REPEATED = re.compile(r"prefix cache on|same-protocol comparator for the RNGD sweep")


def cached_share(rows: pd.DataFrame) -> Array:
    """Share of each row's prompt that is found in a cache: all but its last token where prompts repeat, else 0.

    Worked: 1,024 tokens: 1,023/1,024, so one token is computed.
    """
    isl = np.maximum(numbers(rows, "isl", 1.0), 1.0)
    repeated = np.array([bool(_REPEATED.search(text)) for text in texts(rows, "note")], dtype=bool)
    return np.where(repeated, 1.0 - 1.0 / isl, 0.0)
