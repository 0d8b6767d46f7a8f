"""The chip files: datasheet identities, provenance, and the names that published measurements use."""

import tomllib
from pathlib import Path

import pytest
import tokcalc.specs
from tokcalc.catalog import find_id, list_ids, load_chip, load_memory

FOLDER = Path(tokcalc.specs.__path__[0]) / "chips"
IDS = sorted(path.stem for path in FOLDER.glob("*.toml"))
MEASURED = [
    "a100-pcie", "a100-sxm", "a40", "arc-pro-b50", "arc-pro-b60", "arc-pro-b60-dual", "arc-pro-b70",
    "ascend-310p", "ascend-910b2", "ascend-910c", "b200-sxm", "b300-sxm", "blackhole-p150", "gb10",
    "gb200", "gb300", "gh200", "gh200-144gb", "groq-lpu-v1", "h100-nvl", "h100-pcie", "h100-sxm",
    "h200-nvl", "h200-sxm", "h800-sxm", "inferentia2", "jetson-agx-orin", "l40s", "m1-max", "m1-pro",
    "m3-max", "m3-pro", "m3-ultra", "mi250x-gcd", "mi300x", "mi325x", "mi350x", "mi355x",
    "radeon-r9700", "rngd", "rtx-2080-ti", "rtx-3060", "rtx-3080", "rtx-3080-ti", "rtx-3090",
    "rtx-3090-ti", "rtx-4070-ti", "rtx-4090", "rtx-5090", "rtx-6000-ada", "rtx-a6000", "rtx-pro-4500",
    "rtx-pro-6000", "rubin", "rx-7900-xtx", "sn40l", "tpu-v5e", "tpu-v7", "trainium1", "trainium2",
    "wormhole-galaxy", "wormhole-n150", "wormhole-n300", "wse-3",
]  # fmt: skip


def test_every_file_is_listed_under_its_own_name():
    assert len(IDS) >= 137
    assert set(IDS) <= set(list_ids("chips"))


@pytest.mark.parametrize("name", IDS)
class TestEveryChip:
    def test_loads_under_its_file_name(self, name):
        chip = load_chip(name)
        assert chip.id == name
        assert chip.memory_bytes > 0
        assert chip.bandwidth_bytes_s > 0
        assert chip.peak_ops_s

    def test_stacks_times_width_times_rate_is_the_bandwidth(self, name):
        for level in load_chip(name).memory:
            if level.interface_bandwidth_bytes_s:
                assert level.interface_bandwidth_bytes_s == pytest.approx(level.bandwidth_bytes_s, rel=0.04)

    def test_every_figure_has_source_date_and_grade(self, name):
        chip = load_chip(name)
        assert chip.sources
        assert all(source.date >= "2010" and source.grade in "ABCD" for source in chip.sources)
        assert all(source.url or source.grade in "CD" for source in chip.sources)
        assert chip.grade_of("memory.anything") in "ABCD"

    def test_announcements_are_unconfirmed(self, name):
        chip = load_chip(name)
        if chip.status != "shipping":
            assert chip.grade == "D"

    def test_a_dense_peak_is_never_above_the_headline(self, name):
        chip = load_chip(name)
        for fmt, headline in chip.headline_ops_s.items():
            assert chip.peak_ops_s.get(fmt, 0) <= headline

    def test_fewer_bits_never_compute_slower(self, name):
        peak = load_chip(name).peak_ops_s
        for wide, narrow in (("fp32", "bf16"), ("bf16", "fp8"), ("fp8", "fp4"), ("int8", "int4")):
            if wide in peak and narrow in peak:
                assert peak[narrow] >= peak[wide]

    def test_the_memory_generation_exists(self, name):
        for level in load_chip(name).memory:
            if level.generation:
                generation = load_memory(level.generation)
                if level.pin_rate_bit_s and generation.pin_rate_range_bit_s:
                    assert level.pin_rate_bit_s <= 1.02 * generation.pin_rate_range_bit_s[1]

    def test_derived_pin_rates_have_grade_c_or_worse(self, name):
        chip = load_chip(name)
        for level in chip.memory:
            if level.pin_basis == "derived":
                assert chip.grade_of(f"memory.{level.name}.pin_rate") in "CD"

    def test_the_file_is_in_datasheet_order_with_sources_at_the_foot(self, name):
        text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
        tables = [table for table in tomllib.loads(text) if isinstance(tomllib.loads(text)[table], dict)]
        assert tables[0] == "peak_dense"
        assert text.rindex("[[sources]]") > text.index("[grades]") > text.index("[about]")


@pytest.mark.parametrize("name", MEASURED)
def test_every_measured_chip_resolves_to_itself(name):
    assert find_id("chips", name) == name


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("cerebras", "wse-3"),
        ("CS-3", "wse-3"),
        ("groq", "groq-lpu-v1"),
        ("lp30", "groq-3-lpu"),
        ("h800", "h800-sxm"),
        ("H100", "h100-sxm"),
        ("NVIDIA H100 SXM", "h100-sxm"),
        ("a100", "a100-sxm"),
        ("ascend", "ascend-910c"),
        ("910C", "ascend-910c"),
        ("Huawei Ascend 910B", "ascend-910b2"),
        ("furiosa", "rngd"),
        ("rtx4090", "rtx-4090"),
        ("mi300", "mi300x"),
        ("Strix Halo", "ryzen-ai-max-395"),
        ("gaudi3", "gaudi-3"),
        ("tpu", "tpu-v7"),
    ],
)
def test_everyday_names(name, id_):
    assert find_id("chips", name) == id_


@pytest.mark.parametrize("name", ["wse-2", "wse-3", "groq-lpu-v1", "groq-3-lpu", "corsair"])
def test_sram_machines_hold_weights_in_sram(name):
    assert load_chip(name).weights_in_sram


@pytest.mark.parametrize("name", ["h800-sxm", "sn40l", "rngd", "m3-ultra", "epyc-9654", "gaudi-3"])
def test_a_cache_is_not_the_main_memory(name):
    assert not load_chip(name).weights_in_sram


def test_tiers_are_kept():
    assert [level.name for level in load_chip("sn40l").memory] == ["sram", "hbm", "ddr"]
    assert [level.name for level in load_chip("corsair").memory] == ["sram", "dram"]


def test_h800_is_an_h100_with_a_narrower_nvlink():
    h800, h100 = load_chip("h800"), load_chip("h100")
    assert h800.scale_up.bandwidth_bytes_s == 200e9
    assert h100.scale_up.bandwidth_bytes_s == 450e9
    assert h800.scale_up.measured_bandwidth_bytes_s == 160e9
    assert h800.memory == h100.memory
    assert {key: h800.peak_ops_s[key] for key in ("bf16", "fp8")} == {"bf16": 989.4e12, "fp8": 1978.9e12}


def test_wse_3_dense_peak_is_an_eighth_of_the_headline():
    wse = load_chip("wse-3")
    assert wse.peak_ops_s["fp16"] == pytest.approx(900e3 * 8 * 2 * 1.1e9, rel=0.01)
    assert wse.headline_ops_s["fp16"] / wse.peak_ops_s["fp16"] == pytest.approx(8, rel=0.02)
    assert wse.grade_of("peak_dense.fp16") == "C"


def test_mi300x_peak_from_its_units_and_clock():
    assert load_chip("mi300x").peak_ops_s["fp8"] == pytest.approx(304 * 4096 * 2.1e9, rel=1e-3)


def test_a_70b_model_at_16_bit_needs_four_wafers_and_609_groq_chips():
    weights = 2 * 70e9
    assert -(-weights // load_chip("wse-3").memory_bytes) == 4
    assert -(-weights // load_chip("groq").memory_bytes) == 609


def test_910c_is_two_910b2_dies():
    package, die = load_chip("910c"), load_chip("910b2")
    assert package.peak_ops_s["bf16"] == 2 * die.peak_ops_s["bf16"]
    assert package.bandwidth_bytes_s == 2 * die.bandwidth_bytes_s
    assert package.memory_bytes == 2 * die.memory_bytes


def test_cloudmatrix_power_per_package():
    assert load_chip("910c").power.system_power_per_chip_w == pytest.approx(1456, rel=1e-3)
