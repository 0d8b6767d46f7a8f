"""Names, user folders, what-ifs, the cache, and files of any quality: one sentence of error each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tokcalc.specs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokcalc.catalog import find_id, json_schema, list_ids, load_chip, load_memory, load_model
from tokcalc.catalog.cache import code_version
from tokcalc.catalog.files import cache_folder, user_folder
from tokcalc.catalog.index import load_index
from tokcalc.errors import SpecError, TokcalcError, UnknownName, UsageError

SPECS = Path(tokcalc.specs.__path__[0])
H800 = (SPECS / "chips" / "h800-sxm.toml").read_text(encoding="utf-8")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's spec folder and cache of their own."""
    monkeypatch.setenv("TOKCALC_SPECS", str(tmp_path / "specs"))
    monkeypatch.setenv("TOKCALC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "specs" / "chips").mkdir(parents=True)
    return tmp_path / "specs"


def refused(call, *args, **kwargs):
    """The message of a refusal, checked to be one sentence on one line."""
    with pytest.raises(TokcalcError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    return message


class TestNames:
    @pytest.mark.parametrize("kind", ["chips", "memory", "models"])
    def test_no_two_files_claim_one_name(self, kind):
        index = load_index(kind)
        assert {name: ids for name, ids in index["names"].items() if len(ids) > 1} == {}

    @pytest.mark.parametrize("kind", ["chips", "memory", "models"])
    def test_every_id_finds_itself(self, kind):
        for id_ in list_ids(kind):
            assert find_id(kind, id_) == find_id(kind, id_.upper()) == id_

    def test_an_exact_name_beats_longer_ones(self):
        assert find_id("chips", "m1") == "m1"
        assert find_id("chips", "gh200") == "gh200"

    def test_a_unique_prefix_is_enough(self):
        assert find_id("chips", "wse-2") == find_id("chips", "cerebras-wse-2") == "wse-2"
        assert find_id("chips", "warb") == "warboy"

    def test_an_ambiguous_prefix_lists_its_candidates(self):
        message = refused(find_id, "chips", "rtx-30")
        assert "rtx-3060" in message
        assert "rtx-3090-ti" in message

    def test_a_typo_gets_the_nearest_name(self):
        assert "h800-sxm" in refused(find_id, "chips", "h80o")
        assert "wse-3" in refused(load_chip, "cerebrass")

    @pytest.mark.parametrize("name", ["", "   ", "\x00", "x" * 100_000, "../../etc/passwd", "%s", "💥"])
    def test_hostile_names(self, name):
        refused(load_chip, name)

    @pytest.mark.parametrize("name", [None, 3, ["h100"], b"h100"])
    def test_names_of_another_type(self, name):
        refused(load_chip, name)

    def test_a_vendor_of_another_chip_does_not_match(self):
        with pytest.raises(UnknownName):
            find_id("chips", "amd h100")

    def test_an_unknown_kind(self):
        assert "chips, models, memory" in refused(list_ids, "engines")


class TestPathsAndUserFolder:
    def test_a_path_works_wherever_a_name_does(self, own):
        path = own / "mine.toml"
        path.write_text(H800, encoding="utf-8")
        assert load_chip(str(path)).peak_ops_s == load_chip(path).peak_ops_s == load_chip("h800").peak_ops_s
        assert load_chip(path).path == str(path)

    def test_a_file_in_the_user_folder_is_found_by_name(self, own):
        text = H800.replace('"h800-sxm"', '"my-gpu"').replace('"h800", "h800-sxm5"', '"mine"')
        (own / "chips" / "my-gpu.toml").write_text(text, encoding="utf-8")
        assert load_chip("mine").id == "my-gpu"
        assert "my-gpu" in list_ids("chips")

    def test_a_file_of_the_user_takes_the_place_of_a_shipped_one(self, own):
        (own / "chips" / "h800-sxm.toml").write_text(H800.replace('"700 W"', '"550 W"'), encoding="utf-8")
        assert load_chip("h800").power.tdp_w == 550

    def test_a_changed_file_is_read_again(self, own):
        path = own / "chips" / "h800-sxm.toml"
        for watts in (550, 600):
            path.write_text(H800.replace('"700 W"', f'"{watts} W"'), encoding="utf-8")
            assert load_chip("h800").power.tdp_w == watts

    def test_a_broken_file_of_the_user_breaks_only_itself(self, own):
        (own / "chips" / "bad.toml").write_text("id = [", encoding="utf-8")
        assert load_chip("h800").id == "h800-sxm"
        said = refused(load_chip, "bad")
        assert "bad.toml is not valid TOML" in said
        assert "start from a file of specs/" in said

    def test_two_files_of_the_user_with_one_alias(self, own):
        for name in ("one", "two"):
            text = H800.replace('"h800-sxm"', f'"{name}"').replace('"h800", "h800-sxm5"', '"shared"')
            (own / "chips" / f"{name}.toml").write_text(text, encoding="utf-8")
        message = refused(load_chip, "shared")
        assert "one.toml" in message
        assert "two.toml" in message
        assert load_chip("two").id == "two"

    def test_a_missing_path(self, tmp_path):
        assert "does not exist" in refused(load_chip, str(tmp_path / "none.toml"))

    def test_folders_follow_the_platform(self, monkeypatch):
        platformdirs = pytest.importorskip("platformdirs")
        monkeypatch.delenv("TOKCALC_SPECS", raising=False)
        monkeypatch.delenv("TOKCALC_CACHE", raising=False)
        assert user_folder("chips") == Path(platformdirs.user_data_dir("tokcalc")) / "specs" / "chips"
        assert cache_folder() == Path(platformdirs.user_cache_dir("tokcalc"))


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b" \n\t", "is empty"),
            (b"\x00\x01\x02" * 100, "not a text file"),
            (b"\xff\xfe\x00i\x00d", "not a text file"),
            (b"id = ", "not valid TOML"),
            (b'id = "a"\nid = "b"', "not valid TOML"),
            (b"x = " + b"[" * 50_000, "not valid TOML"),
            (b"x = " + b"[" * 50 + b"]" * 50, "nested"),
            (b"x = 1" + b"0" * 100_000, "not valid TOML"),
            (b"# " + b"x" * 1_100_000, "larger than 1 MB"),
            (b'{"id": "json"}', "not valid TOML"),
            (b"x = 1", "x is not a known key"),
        ],
    )
    def test_one_sentence(self, tmp_path, content, said):
        path = tmp_path / "bad.toml"
        path.write_bytes(content)
        for load in (load_chip, load_memory):
            message = refused(load, path)
            assert "bad.toml" in message
            assert said in message or "missing" in message

    def test_a_folder(self, tmp_path):
        folder = tmp_path / "x.toml"
        folder.mkdir()
        assert "is a folder" in refused(load_chip, folder)

    def test_no_permission_or_no_regular_file(self, tmp_path):
        path = tmp_path / "pipe.toml"
        os.mkfifo(path)
        assert "not a regular file" in refused(load_chip, path)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.binary(max_size=300))
    def test_any_bytes(self, tmp_path, data):
        path = tmp_path / "any.toml"
        path.write_bytes(data)
        refused(load_chip, path)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(line=st.integers(0, 75), text=st.text(alphabet='=[]"x1 .\n{}', max_size=12))
    def test_a_damaged_line_is_refused_or_harmless(self, tmp_path, line, text):
        lines = H800.splitlines()
        lines[min(line, len(lines) - 1)] = text
        path = tmp_path / "damaged.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            chip = load_chip(path)
        except SpecError as error:
            message = str(error)
        else:
            message = f"{chip.memory_bytes}"
        assert message
        assert "\n" not in message


class TestSchema:
    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ('capacity = "80 GB"', 'capacity = "80 GB/s"', "memory.hbm.capacity: '80 GB/s' is a bandwidth"),
            ('capacity = "80 GB"', "capacity = 80", "memory.hbm.capacity has no unit"),
            ('capacity = "80 GB"', 'capacity = "-80 GB"', "is negative"),
            ('capacity = "80 GB"', 'capacity = "0 GB"', "outside 1 kB to 100 PB"),
            ('capacity = "80 GB"', 'capacity = "80 Gb"', "ambiguous"),
            ('capacity = "80 GB"', 'capacity = "80e30 GB"', "outside"),
            ('capacity = "80 GB"', "", "memory.hbm.capacity is missing"),
            ('bandwidth = "3.35 TB/s"', 'bandwidth = "4.8 TB/s"', "more than 4 %"),
            ('bandwidth = "3.35 TB/s"', "bandwith = 1", "memory.hbm.bandwith is not a known key"),
            ('bandwidth = "3.35 TB/s"', "bandwidth = nan", "memory.hbm.bandwidth has no unit"),
            ("stacks = 5", "stacks = 0", "memory.hbm.stacks is 0"),
            ("stacks = 5", "stacks = 5.5", "memory.hbm.stacks is 5.5"),
            ("stacks = 5", 'stacks = "5"', "memory.hbm.stacks is '5'"),
            ("stacks = 5", "", "memory.hbm.stacks is missing"),
            ('both_directions = "400 GB/s"', 'both_directions = "200 GB/s"', "not twice per_direction"),
            ('kind = "gpu"', 'kind = "toaster"', "kind is 'toaster'"),
            ('fp8 = "1978.9 TFLOP/s"', 'fp7 = "1978.9 TFLOP/s"', "peak_dense.fp7"),
            ('fp8 = "1978.9 TFLOP/s"', 'fp8 = "1978.9 TB/s"', "is a bandwidth, not a compute rate"),
            ('tdp = "700 W"', 'tdp = "700 J"', "is an energy, not a power"),
            ("year = 2023", "year = 1066", "year is 1066"),
            ('weights_in = "hbm"', 'weights_in = "ddr"', "memory has only l2, hbm"),
            ('weights_in = "hbm"', 'weights_in = "l2"', "memory.l2.bandwidth is missing"),
            ('aliases = ["h800", "h800-sxm5"]', 'aliases = ["h800", "h800"]', "holds 'h800' twice"),
            ('status = "shipping"', 'status = "roadmap"', "has grade D"),
            ('default = "B"', "", "grades.default is missing"),
            ('"memory.hbm.pin_rate" = "C"', '"memory.hbm.pins" = "C"', "no field of this file"),
            ('default = "B"', 'default = "E"', "grades.default is 'E'"),
            ("chips_in_system = 8", "", "come together"),
            ("[power]", "[efficiency]\nx = -1\n\n[power]", "efficiency.x = -1"),
            ("[power]", "[efficiency]\nx = inf\n\n[power]", "efficiency.x = inf"),
            ("[power]", "[efficiency]\nsustained = 0\n\n[power]", "expected a share above 0"),
            ("[power]", "[efficiency]\ncores = 0\n\n[power]", "expected a whole number from 1"),
            ("[power]", "[efficiency]\nsustaned = 0.8\n\n[power]", "valid are sustained"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, tmp_path, old, new, said):
        assert old in H800
        path = tmp_path / "changed.toml"
        path.write_text(H800.replace(old, new, 1), encoding="utf-8")
        message = refused(load_chip, path)
        assert "changed.toml" in message
        assert said in message

    def test_no_sources(self, tmp_path):
        path = tmp_path / "bare.toml"
        path.write_text(H800[: H800.index("[[sources]]")], encoding="utf-8")
        assert "sources is missing" in refused(load_chip, path)

    def test_a_source_nobody_can_open_is_no_better_than_c(self, tmp_path):
        path = tmp_path / "bare.toml"
        source = '[[sources]]\nnote = "a talk"\ndate = 2026-01-01\ngrade = "A"\n'
        path.write_text(H800[: H800.index("[[sources]]")] + source, encoding="utf-8")
        assert "nobody can open it" in refused(load_chip, path)

    def test_stack_figures_alone_give_the_bandwidth(self, tmp_path):
        path = tmp_path / "stacks.toml"
        path.write_text(H800.replace('bandwidth = "3.35 TB/s"\n', ""), encoding="utf-8")
        main = load_chip(path).main_memory
        assert main.bandwidth_bytes_s == pytest.approx(5 * 1024 * 5.23e9 / 8)
        assert main.datasheet_bandwidth_bytes_s is None

    def test_efficiency_tables_may_nest(self, tmp_path):
        path = tmp_path / "eff.toml"
        table = "[efficiency.kernel.bf16]\nt0_us = 3.5\neta_m = 0.83\n\n[power]"
        path.write_text(H800.replace("[power]", table), encoding="utf-8")
        assert load_chip(path).efficiency["kernel"]["bf16"]["eta_m"] == 0.83

    @pytest.mark.parametrize("kind", ["chips", "models", "memory"])
    def test_the_json_schema_in_the_package_is_current(self, kind):
        written = json.loads((SPECS / "schema" / f"{kind}.json").read_text(encoding="utf-8"))
        assert written == json.loads(json.dumps(json_schema(kind))), "run tokcalc.catalog.schema_json.write_schemas"


class TestOverrides:
    def test_pin_rate_scales_the_datasheet_bandwidth(self):
        main = load_chip("h800", {"memory.hbm.pin_rate": "8 Gbit/s"}).main_memory
        assert main.bandwidth_bytes_s == pytest.approx(3.35e12 * 8 / 5.23)
        assert main.capacity_bytes == 80e9

    def test_more_stacks_hold_more_and_are_faster(self):
        main = load_chip("h800", {"memory.hbm.stacks": "8"}).main_memory
        assert main.bandwidth_bytes_s == pytest.approx(3.35e12 * 8 / 5)
        assert main.capacity_bytes == 128e9

    def test_a_bandwidth_alone_moves_the_pin_rate(self):
        main = load_chip("h800", {"memory.hbm.bandwidth": "5 TB/s"}).main_memory
        assert main.bandwidth_bytes_s == 5e12
        assert main.interface_bandwidth_bytes_s == pytest.approx(5e12, rel=0.04)

    def test_bandwidth_and_pin_rate_together_must_agree(self):
        changes = {"memory.hbm.bandwidth": "5 TB/s", "memory.hbm.pin_rate": "6 Gbit/s"}
        assert "more than 4 %" in refused(load_chip, "h800", changes)

    def test_other_fields(self):
        changes = {
            "power.tdp": "500 W",
            "peak_dense.fp8": "2 PFLOP/s",
            "peak_dense.fp4": "4 PFLOP/s",
            "links.scale_up.per_direction": "450 GB/s",
            "efficiency.kernel.bf16.eta_m": "0.8",
        }
        chip = load_chip("h800", changes)
        assert chip.power.tdp_w == 500
        assert chip.peak_ops_s["fp8"] == 2e15
        assert chip.peak_ops_s["fp4"] == 4e15
        assert chip.scale_up.bandwidth_bytes_s == 450e9
        assert chip.efficiency == {"kernel": {"bf16": {"eta_m": 0.8}}}
        assert chip.grade_of("peak_dense.fp8") == "D"
        assert len(chip.overridden) == 5

    def test_the_shipped_chip_stays_as_it_is(self):
        load_chip("h800", {"power.tdp": "500 W"})
        assert load_chip("h800").power.tdp_w == 700

    @settings(max_examples=30, deadline=None)
    @given(stacks=st.integers(1, 16), rate=st.floats(0.5, 16))
    def test_bandwidth_is_proportional_to_stacks_and_rate(self, stacks, rate):
        chip = load_chip("h100", {"memory.hbm.stacks": stacks, "memory.hbm.pin_rate": f"{rate!r} Gbit/s"})
        assert chip.bandwidth_bytes_s == pytest.approx(3.35e12 * stacks / 5 * rate / 5.23)

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            ("memory.hbm.pinrate", "8 Gbit/s", "memory.hbm.pin_rate"),
            ("memory.dram.capacity", "8 GB", "memory.hbm.capacity"),
            ("nonsense", "1", "valid are"),
            ("", "1", "valid are"),
            ("memory.hbm.pin_rate", "8 GB/s", "is a bandwidth, not a bit rate"),
            ("memory.hbm.pin_rate", "0 Gbit/s", "outside"),
            ("memory.hbm.stacks", "many", "expected a whole number"),
            ("memory.hbm.stacks", "-3", "memory.hbm.stacks is -3"),
            ("memory.hbm.capacity", "nan", "capacity"),
            ("power.tdp", "500", "no unit"),
            ("peak_dense.fp9", "1 PFLOP/s", "peak_dense.fp8"),
            ("efficiency.sustained", "high", "expected a number"),
            ("efficiency.sustained", "0", "expected a share above 0"),
            ("efficiency.sustained.x", "1", "expected a number"),
            ("efficiency.sustaned", "1", "valid are efficiency.sustained"),
            ("efficiency.cores", "0", "expected a whole number from 1"),
            ("efficiency.kernel", "1", "expected a table"),
            ("efficiency.kernel.bf16", "1", "expected a table"),
            ("efficiency.kernel.bf16.eta_m", "0", "expected a number above 0"),
            ("efficiency.step.overhead_s", "0.001", "lacks overhead_s or sequence_s"),
            ("efficiency.gemm.bf16.eta_m", "1", "efficiency.kernel"),
            ("sources", "me", "valid are"),
            ("id", "x", "valid are"),
        ],
    )
    def test_refusals(self, path, value, said):
        assert said in refused(load_chip, "h800", {path: value})

    def test_stacks_of_a_chip_that_publishes_none(self):
        message = refused(load_chip, "ascend-950pr", {"memory.hbm.stacks": 4})
        assert "set its bandwidth and capacity instead" in message

    def test_values_of_the_wrong_kind_are_usage_errors(self):
        with pytest.raises(UsageError):
            load_chip("h800", {"memory.hbm.stacks": "many"})


class TestCache:
    def test_the_second_load_needs_no_pydantic(self, own):
        code = (
            "import sys; from tokcalc.catalog import load_chip; chip = load_chip('cerebras');"
            "print(chip.id, [m for m in ('pydantic', 'pint', 'pandas', 'numpy') if m in sys.modules])"
        )
        first, second = (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
            for _ in range(2)
        )
        assert first.startswith("wse-3")
        assert second == "wse-3 []"

    @pytest.mark.parametrize("damage", [b"", b"{", b"null", b"[]", b'{"key": 1, "value": {}}', b"\xff\xff"])
    def test_a_corrupt_cache_is_ignored(self, own, damage):
        expected = load_chip("h800")
        for path in cache_folder().rglob("*.json"):
            path.write_bytes(damage)
        assert load_chip("h800") == expected

    def test_an_edited_entry_is_made_anew(self, own):
        expected = load_chip("h800")
        for path in (cache_folder() / "specs").glob("*.json"):
            entry = json.loads(path.read_bytes())
            path.write_text(json.dumps({**entry, "value": {"id": "h800-sxm"}}), encoding="utf-8")
        assert load_chip("h800") == expected

    def test_a_cache_folder_that_is_a_file(self, own, tmp_path, monkeypatch):
        blocked = tmp_path / "file"
        blocked.write_text("not a folder", encoding="utf-8")
        monkeypatch.setenv("TOKCALC_CACHE", str(blocked))
        assert load_chip("h800").id == "h800-sxm"

    def test_no_temporary_files_stay(self, own):
        load_chip("h800")
        assert not [path for path in cache_folder().rglob("*") if path.suffix == ".tmp"]

    def test_the_key_depends_on_the_code(self):
        assert len(code_version()) == 16

    def test_a_cached_chip_equals_a_fresh_one(self, own):
        assert load_chip("rngd") == load_chip("rngd")
        assert hash(load_chip("rngd")) == hash(load_chip("rngd"))


def test_models_load_through_the_same_door():
    model = load_model("llama-70b")
    assert model.params_total == pytest.approx(70.55e9, rel=0.01)
    assert "llama" in refused(load_model, "lama-70c")


def test_a_file_that_is_no_spec_is_told_apart_from_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text("# no spec", encoding="utf-8")
    with pytest.raises(UnknownName, match=r"'page\.md' is a file but no spec: those of chips end in \.toml"):
        load_chip("page.md")
    with pytest.raises(UnknownName, match=r"those of models end in \.toml, \.json or \.gguf"):
        load_model("page.md")
    for name in ("x" * 100_000, "a\0b"):
        with pytest.raises(UnknownName, match="There is no chip"):
            load_chip(name)
