"""The memory generations: bus x rate = bandwidth, capacities, and what a swap makes of a chip."""

import shlex
from pathlib import Path

import pytest
from tokcalc.answers.estimate import estimate
from tokcalc.catalog import find_id, list_ids, load_chip, load_memory
from tokcalc.errors import SpecError, UnknownName

IDS = list_ids("memory")
HBM = ["hbm2", "hbm2e", "hbm3", "hbm3e", "hbm3e-12h", "hbm4", "hbm4e"]


def test_the_fourteen_generations_are_there():
    assert {*HBM, "hibl-1", "hizq-2", "gddr6", "gddr6x", "gddr7", "lpddr5x", "ddr5"} <= set(IDS)


@pytest.mark.parametrize("name", IDS)
def test_width_times_rate_is_the_bandwidth(name):
    memory = load_memory(name)
    if memory.bus_bits and memory.pin_rate_bit_s:
        assert memory.bandwidth_bytes_s == memory.bus_bits * memory.pin_rate_bit_s / 8
        low, high = memory.pin_rate_range_bit_s
        assert low <= memory.pin_rate_bit_s <= high
    low, high = memory.bandwidth_range_bytes_s
    assert 0.96 * low <= memory.bandwidth_bytes_s <= 1.04 * high
    assert memory.capacity_bytes in memory.capacity_options_bytes
    assert memory.sources


@pytest.mark.parametrize(
    ("name", "gigabytes_s"), [("hbm2", 256), ("hbm2e", 409.6), ("hbm3", 819.2), ("hbm3e", 1024), ("hbm4", 2048)]
)
def test_bandwidth_of_one_stack(name, gigabytes_s):
    assert load_memory(name).bandwidth_bytes_s == pytest.approx(gigabytes_s * 1e9)


def test_each_generation_of_hbm_is_at_least_as_fast_as_the_one_before():
    speeds = [load_memory(name).bandwidth_bytes_s for name in HBM]
    assert speeds == sorted(speeds)


def test_height_changes_capacity_only():
    low, high = load_memory("hbm3e-8h"), load_memory("hbm3e-12h")
    assert low.bandwidth_bytes_s == high.bandwidth_bytes_s
    assert high.capacity_bytes == 1.5 * low.capacity_bytes


def test_the_shorter_name_is_not_ambiguous():
    assert find_id("memory", "HBM3E") == "hbm3e"
    with pytest.raises(UnknownName, match="hbm4"):
        find_id("memory", "hbm9")


def test_h800_with_hbm4_keeps_its_five_stacks():
    main = load_chip("h800", memory="hbm4").main_memory
    assert (main.stacks, main.bus_bits_per_stack, main.generation) == (5, 2048, "hbm4")
    assert main.bandwidth_bytes_s == pytest.approx(5 * 2.048e12)
    assert main.capacity_bytes == 5 * 36e9


def test_a_swap_is_unconfirmed_and_says_so():
    chip = load_chip("h100", memory="hbm3e")
    assert chip.grade == "D"
    assert chip.overridden == ("memory=hbm3e",)
    assert "What-if" in chip.notes[0]


def test_a_swap_comes_before_the_overrides():
    main = load_chip("h100", {"memory.hbm.stacks": 8}, memory="hbm4").main_memory
    assert main.bandwidth_bytes_s == pytest.approx(8 * 2.048e12)
    assert main.capacity_bytes == pytest.approx(8 * 36e9)


def test_gddr_is_swapped_on_the_same_bus():
    main = load_chip("rtx-4090", memory="gddr7").main_memory
    assert main.stacks * main.bus_bits_per_stack == 384
    assert main.bandwidth_bytes_s == pytest.approx(384 * 28e9 / 8)


@pytest.mark.parametrize(
    ("chip", "memory", "said"),
    [
        ("groq", "hbm4", "holds weights in SRAM"),
        ("cerebras", "hbm3", "memory.sram.capacity"),
        ("ascend-950pr", "hbm4", "does not publish its memory stacks"),
        ("h800", "hibl", "no published stack structure"),
        ("h800", "gddr7", "cannot replace one for one"),
        ("rtx-4090", "hbm3", "384-bit bus"),
    ],
)
def test_a_swap_that_makes_no_sense_says_what_to_do_instead(chip, memory, said):
    with pytest.raises(SpecError, match=said):
        load_chip(chip, memory=memory)


@pytest.mark.parametrize(
    ("ask", "grade"),
    [
        ({"memory": "hbm4"}, "D"),
        ({"overrides": {"memory.hbm.stacks": "8"}}, "D"),
        ({"overrides": {"peak_dense.fp8": "4 PFLOP/s"}}, "D"),
        ({"overrides": {"efficiency.sustained": "0.5"}}, "D"),
        ({"overrides": {"kind": "npu"}}, "D"),
        ({"overrides": {"family": "blackwell"}}, "D"),
        ({"overrides": {"links.scale_up.per_direction": "900 GB/s"}}, "C"),
        ({"overrides": {"chips_per_system": "4"}}, "C"),
        ({"overrides": {"power.tdp": "500 W"}}, "A"),
    ],
)
def test_a_what_if_is_no_measured_chip_and_says_so(ask, grade):
    built = estimate("h100-sxm", "llama-8b")
    changed = estimate("h100-sxm", "llama-8b", **ask)
    assert built["grade"] == "A"
    assert changed["grade"] == grade
    assert not any("what-if" in line for line in built["assumptions"])
    assert any(line.startswith("what-if: ") for line in changed["assumptions"])
    assert ("what-if" in changed["band"]["reason"]) == (grade != "A")
    assert ("as it is built" in changed["evidence"]["text"]) == (grade != "A")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("memory.hbm.capacity", "80 GB"),
        ("memory.hbm.capacity", "80000 MB"),
        ("memory.hbm.stacks", "5"),
        ("memory.hbm.label", "x"),
        ("peak_dense.fp64", "1 TFLOP/s"),
        ("peak_dense.bf16", "989.4 TFLOP/s"),
        ("links.scale_up.per_direction", "450 GB/s"),
        ("links.scale_up.name", "x"),
    ],
)
def test_a_figure_as_it_is_built_changes_nothing(path, value):
    built, same = estimate("h100-sxm", "llama-8b"), estimate("h100-sxm", "llama-8b", overrides={path: value})
    assert (same["grade"], same["speed"], same["evidence"]) == ("A", built["speed"], built["evidence"])


def test_a_power_of_ones_own_widens_the_energy_alone():
    built, asked = (
        estimate("h100-sxm", "llama-8b", overrides=o) for o in (None, {"power.tdp": "500 W"})
    )  # fmt: skip
    spread = [
        e["joule_per_output_token_high"] / e["joule_per_output_token"] for e in (built["energy"], asked["energy"])
    ]
    assert spread[1] > spread[0]
    assert asked["speed"] == built["speed"]


def test_a_chip_of_weak_constants_says_what_if_too():
    asked = estimate("l4", "llama-8b", overrides={"links.host.per_direction": "100 GB/s"})
    assert asked["grade"] >= "C"
    assert "what-if" in asked["band"]["reason"]


def test_the_note_of_a_swap_tells_the_memory_that_came_of_it():
    chip = load_chip("h100", {"memory.hbm.stacks": 6}, memory="hbm4")
    assert chip.notes[0] == "What-if: 6 x HBM4 at 8 Gbit/s and 36 GB each, in place of HBM3."


def test_a_measured_combination_anchors_no_what_if():
    built, asked = (estimate("h100-sxm", "gpt-oss-120b", memory=m) for m in (None, "hbm4"))
    assert any(line.startswith("anchored") for line in built["assumptions"])
    assert not any(line.startswith("anchored") for line in asked["assumptions"])


def own_copy(tmp_path, old, new):
    """A copy of the shipped H100 in a folder of one's own, with one text replaced."""
    shipped = Path(load_chip("h100-sxm").path).read_text(encoding="utf-8")
    assert old in shipped
    path = tmp_path / "h100-sxm.toml"
    path.write_text(shipped.replace(old, new), encoding="utf-8")
    return str(path)


def test_a_changed_copy_of_a_shipped_chip_is_a_what_if(tmp_path):
    path = own_copy(tmp_path, 'bandwidth = "3.35 TB/s"', 'bandwidth = "3.4 TB/s"')
    answer = estimate(path, "llama-8b")
    assert answer["grade"] == "D"
    assert answer["band"]["reason"].startswith("a file of your own that differs from the shipped chip of that id")
    assert answer["evidence"]["text"].startswith("the chip as it is built")
    assert any(path in line for line in answer["assumptions"])


def test_an_unchanged_copy_is_the_shipped_chip(tmp_path):
    path = own_copy(tmp_path, 'unit = "one GPU package"', 'unit = "a card"')
    assert estimate(path, "llama-8b")["grade"] == "A"


def test_the_command_names_the_file_that_was_asked(tmp_path):
    path = own_copy(tmp_path, 'bandwidth = "3.35 TB/s"', 'bandwidth = "3.4 TB/s"')
    words = shlex.split(estimate(path, "llama-8b")["command"])
    assert words[words.index("--chip") + 1] == path
    assert words[words.index("--model") + 1] == "llama-3.1-8b"


def test_a_chip_with_an_id_of_its_own_is_as_built_as_its_file_says(tmp_path):
    path = own_copy(tmp_path, 'id = "h100-sxm"', 'id = "mine"')
    assert load_chip(path).changes == ()
    assert load_chip(path, {"memory.hbm.capacity": "96 GB"}).changes == ("memory",)


def test_a_kernel_constant_of_ones_own_leaves_the_others_as_they_are():
    built = estimate("h100-sxm", "llama-8b")
    half = estimate("h100-sxm", "llama-8b", overrides={"efficiency.kernel.bf16.eta_m": "0.4"})
    assert 1.5 < half.tpot_s / built.tpot_s < 3.0
    assert half["grade"] == "D"
