"""Plots: what stands on them, that labels keep clear of each other, and files that need no network."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("altair")
pytest.importorskip("vl_convert")

from tokcalc.errors import UsageError
from tokcalc.report import plots
from tokcalc.report.plots.labels import LINE, place, spread, text_width
from tokcalc.report.plots.lines import year_of
from tokcalc.report.plots.scales import Axis, axis_for
from tokcalc.report.plots.theme import COLOURS, TEXT_COLOURS

ROOFS = [
    {"chip": "h100-sxm", "dtype": "bf16", "peak_ops_s": 989e12, "bandwidth_bytes_s": 3.35e12},
    {"chip": "h100-sxm", "dtype": "fp8", "peak_ops_s": 1979e12, "bandwidth_bytes_s": 3.35e12},
]
OPERATORS = [{"operator": "mlp", "batch": batch, "flops": 2e9 * batch, "bytes": 2e9} for batch in (1, 16, 1024)]
DEPLOYMENTS = [
    {
        "chip": chip, "label": f"TP{tp} b{batch}", "output_tok_s_user": speed * tp / (1 + batch / 64),
        "output_tok_s_chip": speed * batch / (1 + batch / 64),
        "per_m_output": 700 / (speed * batch / (1 + batch / 64)),
    }
    for chip, speed in (("h100-sxm", 30.0), ("퓨리오사 'rngd'", 12.0))
    for tp in (1, 8)
    for batch in (1, 16, 256)
]  # fmt: skip
CURVES = [
    {
        "chip": chip, "concurrency": n, "context": n * 1024, "output_tok_s_user": top / n,
        "low": top / n / 2, "high": top / n * 2,
    }
    for chip, top in (("h100-sxm", 90.0), ('a "b" \\c', 40.0))
    for n in (1, 4, 64)
]  # fmt: skip
GENERATIONS = [{"chip": "h200", "memory": m, "output_tok_s_user": v} for m, v in (("hbm3", 30.0), ("hbm4", 70.0))]
TERMS = [{"case": c, "name": f"term {n}", "seconds": 1e-3 / (n + 1)} for c in ("a", "b") for n in range(11)]
GROWTH = [
    {"series": "수요", "year": year, "value": 3.0 ** (year - 2022), "projected": year > 2025}
    for year in range(2022, 2030)
]
PRICES = [
    {"name": "seller A", "per_m_output": 0.8, "output_tok_s_user": 250.0},
    {"name": "seller B", "per_m_output": 0.6},
    {"name": "seller C", "per_m_output": 0.61},
]

KINDS: dict[str, Callable[[], Any]] = {
    "roofline": lambda: plots.roofline(ROOFS, OPERATORS, title="roofs"),
    "pareto": lambda: plots.pareto(DEPLOYMENTS, title="front"),
    "pareto_pair": lambda: plots.pareto_pair(DEPLOYMENTS, title="fronts"),
    "speed_against": lambda: plots.speed_against(CURVES, title="speed"),
    "context": lambda: plots.speed_against(pd.DataFrame(CURVES), x="context", title="speed"),
    "cost_speed": lambda: plots.cost_speed(DEPLOYMENTS, PRICES, title="cost"),
    "terms": lambda: plots.stacked_terms(TERMS, title="terms"),
    "memory": lambda: plots.memory_generations(GENERATIONS, title="memory"),
    "growth": lambda: plots.growth(GROWTH, y_title="tokens a day (trillion)", title="growth"),
}
UNITS = {
    "roofline": ["FLOP/byte", "FLOP/s", "3.35 TB/s", "1.98 PFLOP/s", "mlp, batch 1024"],
    "pareto": ["speed per user (tok/s)", "throughput per chip (tok/s)", "h100-sxm"],
    "pareto_pair": ["cost per million output tokens (USD)"],
    "speed_against": ["requests in flight", "speed per user (tok/s)", "h100-sxm"],
    "context": ["context (tokens)"],
    "cost_speed": ["seller A", "seller B", "(USD)"],
    "terms": ["time of one step (ms)", "other"],
    "memory": ["hbm3", "hbm4", "memory generation"],
    "growth": ["tokens a day (trillion)", "2024", "수요"],
}


@pytest.fixture(scope="module", params=KINDS)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A kind of plot, and its drawing."""
    path = tmp_path_factory.mktemp("plots") / "a.svg"
    plots.save(KINDS[request.param](), path)
    return request.param, path.read_text(encoding="utf-8")


def test_every_plot_has_units_names_and_fits_a_page(drawn: tuple[str, str]) -> None:
    kind, svg = drawn
    texts = "\n".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    for wanted in UNITS[kind]:
        assert wanted in texts
    assert not re.search(r"undefined|NaN|null", texts)
    width = re.search(r'<svg[^>]* width="([\d.]+)"', svg)
    assert width
    assert float(width.group(1)) <= 760


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """Boxes of the horizontal labels in a drawing: left, top, right, bottom."""
    found = []
    shift = [(0.0, 0.0)]
    for tag in re.finditer(r"<(/?)(g|text)\b([^>]*?)(/?)>([^<]*)", svg):
        closing, name, attributes, empty, text = tag.groups()
        moved = re.search(r'transform="translate\(([-\d.e]+),\s*([-\d.e]+)\)([^"]*)"', attributes)
        here = shift[-1]
        if moved:
            here = (here[0] + float(moved.group(1)), here[1] + float(moved.group(2)))
        if name == "g":
            if closing:
                shift.pop()
            elif not empty:
                shift.append(here)
        elif not closing and text.strip() and "rotate" not in attributes and "stroke=" not in attributes:
            wide = text_width(text) * 0.9
            anchor = re.search(r'text-anchor="(\w+)"', attributes)
            left = here[0] - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor.group(1) if anchor else "start"] * wide
            found.append((left, here[1] - 8, left + wide, here[1] + 2))
    return found


def test_no_text_covers_another(drawn: tuple[str, str]) -> None:
    found = boxes(drawn[1])
    assert len(found) > 5
    for place_one, one in enumerate(found):
        for two in found[place_one + 1 :]:
            apart = one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
            assert apart, (one, two)


def test_every_ending_is_written_and_html_needs_no_network(tmp_path: Path) -> None:
    chart = KINDS["growth"]()
    for ending in plots.endings():
        plots.save(chart, tmp_path / f"a{ending}")
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "a.pdf").read_bytes()[:5] == b"%PDF-"
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert len(page) > 300_000
    assert not re.search(r"<script[^>]*\bsrc=|<link[^>]*\bhref=|@import", page)
    with pytest.raises(UsageError, match=r"\.svg \.png \.pdf \.html"):
        plots.save(chart, tmp_path / "a.gif")
    with pytest.raises(UsageError, match="does not exist"):
        plots.save(chart, tmp_path / "missing" / "a.svg")
    assert len(list(tmp_path.iterdir())) == 4


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    rows = [{**row, "chip": "</script><script>alert(1)</script>"} for row in GENERATIONS]
    plots.save(plots.memory_generations(rows), tmp_path / "a.html")
    assert "<script>alert(1)" not in (tmp_path / "a.html").read_text(encoding="utf-8")
    plots.save(plots.memory_generations(rows), tmp_path / "a.svg")
    assert "<script" not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_one_point_and_equal_points_can_be_drawn(tmp_path: Path) -> None:
    one = [
        {
            "chip": "a",
            "label": "b",
            "output_tok_s_user": 1.0,
            "output_tok_s_chip": 1.0,
            "concurrency": 1,
            "per_m_output": 0,
        }
    ]
    for chart in (
        plots.pareto(one * 3),
        plots.cost_speed(one),
        plots.speed_against(one),
        plots.growth([{"series": "", "year": "2025-07", "value": 0}]),
        plots.stacked_terms([{"name": "a", "seconds": 1e-9}]),
        plots.roofline(ROOFS[:1]),
        plots.roofline(ROOFS, [{"operator": "x", "intensity": 3}]),
    ):
        plots.save(chart, tmp_path / "a.svg")


def test_dotted_columns_are_found_and_missing_ones_named() -> None:
    rows = [{"chip": "a", "workload.concurrency": 1, "speed.output_tok_s_user.value": 5.0}]
    chart = plots.speed_against(rows)
    assert "5.0" in chart.to_json()
    with pytest.raises(UsageError, match="'concurrency'"):
        plots.speed_against([{"chip": "a", "output_tok_s_user": 1}])
    with pytest.raises(UsageError, match="no rows"):
        plots.speed_against([])
    with pytest.raises(UsageError, match="no row has a number"):
        plots.speed_against([{"chip": "a", "concurrency": math.nan, "output_tok_s_user": 1}])


def inline(part: Any) -> list[dict[str, Any]]:
    """All rows of data within a chart."""
    if isinstance(part, list):
        return [row for item in part for row in inline(item)]
    if isinstance(part, dict):
        own = part.get("data", {}).get("values", [])
        return [*own, *(row for key, item in part.items() if key != "data" for row in inline(item))]
    return []


def test_a_roof_is_the_lesser_of_memory_and_compute() -> None:
    chart = plots.roofline(ROOFS, OPERATORS).to_dict()
    values = inline(chart)
    ridge = 989e12 / 3.35e12
    corners = [row for row in values if row.get("line") == "0"]
    assert any(math.isclose(row["x"], ridge) and math.isclose(row["y"], 989e12) for row in corners)
    dots = {row["batch"]: row for row in values if row.get("operator") == "mlp" and "label" not in row}
    assert math.isclose(dots[1]["y"], 3.35e12)
    assert math.isclose(dots[1024]["y"], 989e12)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=25), st.booleans())
def test_no_point_beats_the_front(points: list[tuple[int, int]], higher: bool) -> None:
    sign = 1 if higher else -1
    kept = plots.front([x for x, _ in points], [y for _, y in points], better="higher" if higher else "lower")
    best = [points[index] for index in kept]
    for x, y in points:
        assert any(fx >= x and sign * fy >= sign * y for fx, fy in best)
    for one in best:
        assert not any(two != one and two[0] >= one[0] and sign * two[1] >= sign * one[1] for two in points)
    assert [x for x, _ in best] == sorted(x for x, _ in best)


@given(st.lists(st.floats(-50, 450), min_size=1, max_size=20))
def test_spread_labels_keep_their_order_and_distance(wanted: list[float]) -> None:
    placed = spread(wanted, 0.0, 400.0)
    ordered = sorted(range(len(wanted)), key=lambda index: wanted[index])
    for one, two in pairwise(ordered):
        assert placed[two] - placed[one] >= LINE - 1e-6
    if len(wanted) * LINE <= 400:
        assert min(placed) >= -1e-6
        assert max(placed) <= 400 + 1e-6


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=1, max_size=30))
@settings(deadline=None)
def test_placed_labels_cover_neither_each_other_nor_points(points: list[tuple[float, float]]) -> None:
    texts = ["퓨리오사 b8" if index % 2 else "TP8" for index in range(len(points))]
    spots = place(points, texts, 400, 300)
    shown = [
        (spot[0], spot[1] - LINE / 2, spot[0] + text_width(text), spot[1] + LINE / 2)
        for spot, text in zip(spots, texts, strict=True)
        if spot
    ]
    assert all(not (box[0] < x < box[2] and box[1] < y < box[3]) for box in shown for x, y in points)
    for index, one in enumerate(shown):
        for two in shown[index + 1 :]:
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]


@given(st.floats(1e-6, 1e15), st.floats(1.0, 1e9), st.booleans())
def test_an_axis_inverts_itself_and_has_round_ticks_inside(low: float, factor: float, up: bool) -> None:
    axis = axis_for([low, low * factor], 400, up=up)
    for share in (0.0, 0.3, 1.0):
        value = axis.value(share * 400)
        assert math.isclose(axis.pixel(value), share * 400, abs_tol=1e-3)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 20
    assert all(axis.low * 0.99 <= tick <= axis.high * 1.01 for tick in ticks)


def test_axis_ticks_are_the_usual_ones() -> None:
    assert Axis(0.9, 110, True, 500).ticks() == [1, 2, 5, 10, 20, 50, 100]
    assert Axis(0, 100, False, 500).ticks() == [0, 20, 40, 60, 80, 100]


def test_years_come_in_many_forms() -> None:
    assert year_of(2025) == year_of("2025") == year_of("2025-01-01") == 2025.0
    assert year_of("2025-07-02") == pytest.approx(2025.5, abs=0.01)
    assert year_of(pd.Timestamp("2025-07-02")) == pytest.approx(2025.5, abs=0.01)
    assert year_of("soon") is None


def luminance(colour: str) -> float:
    """Relative luminance of a colour (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_colours_are_readable_on_white() -> None:
    assert len(COLOURS) == len(TEXT_COLOURS) == len(set(COLOURS))
    assert all(1.05 / (luminance(colour) + 0.05) >= 4.5 for colour in TEXT_COLOURS)


def test_plots_module_loads_altair_only_when_drawing() -> None:
    heavy = ("altair", "pandas", "vl_convert")
    script = f"import sys, tokcalc.report.plots; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
