"""Electricity of a token: power between idle and loaded, joules, kilowatt-hours, CO2.

Before: Chip.power and the throughput of the performance model. After: the answer card, ownership.py (the bill
for electricity) and the fleet planner. Pure functions over floats or arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import at_least_one, not_negative, positive, positive_share, share
from ..errors import UsageError

JOULES_PER_KWH = 3.6e6
MILLION = 1e6


def power_at(load: Any, idle_w: Any, loaded_w: Any) -> Any:
    """Watts at a load between 0 (idle) and 1: idle_w + load x (loaded_w - idle_w).

    A chip that idles at 100 W and draws 700 W loaded takes 400 W at half load. UsageError when idle exceeds
    loaded.
    """
    share(load, "Load")
    not_negative(idle_w, "Idle power")
    not_negative(loaded_w, "Loaded power")
    if np.any(np.asarray(idle_w) > np.asarray(loaded_w)):
        raise UsageError("Idle power is above loaded power; swap the two or correct one.")
    return idle_w + load * (np.asarray(loaded_w) - idle_w) if np.ndim(load) else idle_w + load * (loaded_w - idle_w)


def mean_power(idle_w: Any, loaded_w: Any, utilisation: Any = 1.0) -> Any:
    """Mean watts over paid time when chips work for the share `utilisation` of it and idle for the rest."""
    return power_at(utilisation, idle_w, loaded_w)


def joules_per_token(power_w: Any, tokens_per_s: Any, pue: Any = 1.0) -> Any:
    """Joules of one token: power_w x pue / tokens_per_s; with the PUE of the site it is energy at the meter.

    5,600 W at 2,800 tokens/s are 2 J a token; at a PUE of 1.15, 2.3 J.
    """
    not_negative(power_w, "Power")
    at_least_one(pue, "PUE")
    return power_w * pue / positive(tokens_per_s, "Tokens per second")


def input_output_joules(
    prefill_w: Any, decode_w: Any, input_tok_s: Any, output_tok_s: Any, prefill_share: Any, pue: Any = 1.0
) -> tuple[Any, Any]:
    """Joules per input and output token: each phase's power for the share of time that it takes.

    input_tok_s, output_tok_s: average rates over all of the time. Input joules x input rate + output joules x
    output rate is the mean power at the meter.
    """
    share(prefill_share, "The share of prefill")
    of_input = joules_per_token(prefill_w * prefill_share, input_tok_s, pue)
    return of_input, joules_per_token(decode_w * (1.0 - prefill_share), output_tok_s, pue)


def idle_overhead(idle_w: Any, loaded_w: Any, utilisation: Any) -> Any:
    """Factor on the energy of a token when machines idle between work: mean power / (utilisation x loaded
    power).

    Idle at 100 W, loaded at 700 W, busy half of the time: 400 / 350 = 1.143.
    """
    positive_share(utilisation, "Utilisation")
    return mean_power(idle_w, loaded_w, utilisation) / (utilisation * positive(loaded_w, "Loaded power"))


def kwh_per_million(joules: Any) -> Any:
    """Kilowatt-hours of a million tokens at `joules` each: joules x 1e6 / 3.6e6. 3.6 J a token are 1 kWh."""
    return not_negative(joules, "Energy per token") * MILLION / JOULES_PER_KWH


def co2_per_million(joules: Any, kg_per_kwh: Any) -> Any:
    """Kilograms of CO2 equivalent of a million tokens, by the grid factor kg_per_kwh.

    3.6 J a token on the Korean grid (0.43 kg/kWh) are 0.43 kg.
    """
    return kwh_per_million(joules) * not_negative(kg_per_kwh, "The grid factor")


def electricity_per_hour(power_w: Any, pue: Any, price_per_kwh: Any) -> Any:
    """Money for an hour of electricity: kilowatts x pue x price. 1,275 W, PUE 1.15, 0.10 USD/kWh: 0.1466
    USD.
    """
    not_negative(power_w, "Power")
    at_least_one(pue, "PUE")
    return power_w / 1000.0 * pue * not_negative(price_per_kwh, "The price of electricity")
