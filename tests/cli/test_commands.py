"""Whole commands as a user types them: exit codes, what is on stdout, one sentence on stderr."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..commands import in_own_process, run

LLAMA = ("--model", "llama-70b")
MAIN = ("--chip", "h100", *LLAMA)


def answered(*arguments: str) -> str:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def refused(*arguments: str, code: int = 2) -> str:
    """The one sentence on stderr of a command that must fail with nothing on stdout."""
    done = run(*arguments)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("tokcalc: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return done.stderr


# ------------------------------------------------------------------ the shell


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys; from tokcalc.cli.shell import run, COMMANDS; run(['--help']); "
        "print([t for t, _ in COMMANDS.values() if t.split(':')[0] in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.rstrip().endswith("[]")
    for command in ("chips", "models", "memory", "show", "validate"):
        assert re.search(rf"^  {command} +\w", out, re.MULTILINE)


def test_every_command_prints_its_help() -> None:
    from tokcalc.cli.shell import COMMANDS

    for command in COMMANDS:
        assert "--help" in answered(command, "--help")


def test_no_arguments_print_the_help() -> None:
    assert answered().startswith("Usage: tokcalc")


def test_version() -> None:
    from tokcalc import __version__

    done = in_own_process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tokcalc {__version__}\n", "")


def test_refusals_end_their_process_with_code_2() -> None:
    done, here = in_own_process(*MAIN, "--isl", "0"), run(*MAIN, "--isl", "0")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", here.stderr)


def test_main_question_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tokcalc.cli.shell import run; run(['--chip', 'cerebras', '--model', 'llama-70b']); "
        "print(sorted({'pandas', 'pint', 'pydantic', 'rich', 'scipy', 'altair'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)  # fills the cache
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.rstrip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chps",), ["chps", "chips"]),
        (("h100",), ["h100", "--chip"]),
        (("--chps", "h100"), ["--chps", "--chips"]),
        (("chips", "--vendr", "x"), ["--vendr", "--vendor"]),
        (("--isl",), ["--isl"]),
        (("show",), ["NAME"]),
        (("--chip", "h100"), ["--model"]),
        (LLAMA, ["--chip"]),
        (("--json",), ["--chip", "--model"]),
        (("--chip", "h100", "chips"), ["--chip", "chips"]),
        (("--chip", "h100,,h800", *LLAMA), ["empty"]),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: tuple[str, ...], words: list[str]) -> None:
    message = refused(*arguments)
    for word in words:
        assert word in message


def test_a_closed_pipe_is_silent() -> None:
    command = f"{sys.executable} -m tokcalc chips | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_sentence() -> None:
    command = f"{sys.executable} -m tokcalc --help > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_an_ascii_terminal_gets_an_answer() -> None:
    assert in_own_process("show", "h800", PYTHONIOENCODING="ascii").returncode == 0


# ------------------------------------------------------------------ the main question


def test_card_has_what_a_reader_looks_for() -> None:
    card = answered("--chip", "cerebras", *LLAMA)
    assert card.splitlines()[0].startswith("5 x ")
    for word in (
        "for one request",
        "a service",
        "requests in flight",
        "per user",
        "per chip",
        "system",
        "first token",
        "1M tokens",
        "energy",
        "memory",
        "bound by",
        "grade",
        "sources",
        "tokcalc --chip wse-3",
    ):
        assert word in card
    assert max(len(line) for line in card.splitlines() if "http" not in line) <= 80
    assert "\x1b" not in card


def test_the_card_repeats_itself() -> None:
    """The command at its foot prints the same answer."""
    import shlex

    first = json.loads(answered(*MAIN, "--chips", "8", "--concurrency", "16", "--json"))
    again = json.loads(answered(*shlex.split(first["command"])[1:], "--json"))
    assert again["speed"] == first["speed"]
    assert again["cost"] == first["cost"]


def test_json_has_the_keys_of_the_contract() -> None:
    question = "--chip h100 --chips 8 --model llama-3.1-70b --weights fp8 --isl 1000 --osl 1000 --concurrency 32"
    answer = json.loads(answered(*question.split(), "--json"))
    assert {"chip", "model", "deployment", "workload", "speed", "cost", "energy", "memory"} <= answer.keys()
    assert {"bound_by", "grade", "terms", "sources", "notes"} <= answer.keys()
    assert {"chips", "tp", "pp", "dp", "ep", "weights", "kv"} <= answer["deployment"].keys()
    for key in ("output_tok_s_user", "output_tok_s", "input_tok_s", "ttft_s", "tpot_s"):
        assert answer["speed"][key]["low"] <= answer["speed"][key]["value"] <= answer["speed"][key]["high"]
    assert 8e-3 <= answer["speed"]["tpot_s"]["value"] <= 20e-3
    assert answer["deployment"]["chips"] == 8


def test_costs_side_by_side_are_priced_in_one_way_and_as_in_the_comparison() -> None:
    asked = ("--chip", "h800,cerebras", "--model", "llama-70b", "--json")
    costs, *others = (json.loads(answered(*command, *asked)) for command in (("cost",), (), ("compare",)))
    assert [answer["cost"]["way"] for answer in costs] == ["ownership", "ownership"]
    for compared in others:
        for one, other in zip(costs, compared, strict=True):
            assert one["cost"]["per_m_output"] == pytest.approx(other["cost"]["per_m_output"], rel=1e-9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare",), "the largest load that gives each user at least 20 tokens/s"),
        (("compare", "--concurrency", "8"), "8 in flight"),
        (("sweep",), "1 in flight, for money too"),
        (("memory",), "1 in flight"),
    ],
)
def test_tables_say_the_load_that_their_figures_are_of(words: tuple[str, ...], said: str) -> None:
    assert said in " ".join(answered(*words, "--chip", "h800", "--model", "llama-70b").split())


def test_money_of_a_load_that_breaks_the_promise_is_marked() -> None:
    shown = answered("--chip", "h800,rngd", "--model", "llama-70b")
    rows = {line.split()[0]: line for line in shown.splitlines() if line.startswith(("h800-sxm", "rngd "))}
    assert "!" in rows["rngd"]
    assert "!" not in rows["h800-sxm"]
    assert "! no load keeps that; told at all that fit, where a user gets rngd" in shown


@pytest.mark.parametrize("model", ["llama-70b", "deepseek-r1"])
def test_comparison_has_an_answer_or_a_reason_for_every_chip(model: str) -> None:
    chips = "h800,cerebras,groq,ascend-910c,rngd"
    answers = json.loads(answered("--chip", chips, "--model", model, "--json"))
    assert [answer["model"] for answer in answers] == [answers[0]["model"]] * 5
    assert all("speed" in answer or answer["reason"] for answer in answers)
    table = answered("--chip", chips, "--model", model)
    for answer in answers:
        assert re.search(rf"^{re.escape(answer['chip'])} ", table, re.MULTILINE)
    assert max(map(len, table.splitlines())) <= 80


def test_explain_prints_the_terms() -> None:
    text = answered(*MAIN, "--explain")
    assert re.search(r"seconds +share +term", text)


def test_several_exports_at_once(tmp_path: Path) -> None:
    table, page = tmp_path / "a.csv", tmp_path / "a.json"
    done = run("--chip", "h100,h800", *LLAMA, "--export", str(table), "--export", str(page))
    assert done.returncode == 0, done.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert len(json.loads(page.read_text())) == 2


def test_lengths_take_suffixes() -> None:
    work = json.loads(answered(*MAIN, "--isl", "8k", "--osl", "2Ki", "--json"))["workload"]
    assert (work["isl"], work["osl"]) == (8000, 2048)


def test_memory_swap_makes_a_bandwidth_bound_answer_faster() -> None:
    def speed(*more: str) -> float:
        answer = json.loads(answered(*MAIN, "--chips", "8", "--json", *more))
        return float(answer["speed"]["output_tok_s_user"]["value"])

    assert speed("--memory", "hbm4") > speed()


def test_rent_is_what_an_hour_costs() -> None:
    answer = json.loads(answered(*MAIN, "--chips", "8", "--rent", "2.5 USD/h", "--json"))
    assert answer["cost"]["per_hour"] == pytest.approx(20.0)


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e99", "99999999999", "", "one", "1.5"])
@pytest.mark.parametrize("option", ["--isl", "--osl", "--concurrency", "--chips", "--tp"])
def test_numbers_that_cannot_be(option: str, value: str) -> None:
    assert option in refused(*MAIN, option, value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--chip", "h10", *LLAMA), ["h10", "h100"]),
        (("--chip", "cerebas", *LLAMA), ["cerebas"]),
        (("--chip", "h100", "--model", "lama-70b"), ["lama-70b", "llama"]),
        (("--chip", "h100,nochip", *LLAMA), ["nochip"]),
        (("--chip", "ascend-9", *LLAMA), ["ascend-910"]),
        ((*MAIN, "--cache-hit", "1.5"), ["--cache-hit"]),
        ((*MAIN, "--cache-hit", "-0.1"), ["--cache-hit"]),
        ((*MAIN, "--utilisation", "0"), ["--utilisation"]),
        ((*MAIN, "--utilisation", "nan"), ["--utilisation"]),
        ((*MAIN, "--acceptance", "2"), ["--acceptance"]),
        ((*MAIN, "--draft", "-3"), ["--draft"]),
        ((*MAIN, "--rent", "2.5 GB"), ["GB"]),
        ((*MAIN, "--rent", "-2.5 USD/h"), ["-2.5"]),
        ((*MAIN, "--rent", "cheap"), ["cheap"]),
        ((*MAIN, "--currency", "XXQ"), ["XXQ"]),
        ((*MAIN, "--on", "yesterday"), ["yesterday", "YYYY-MM-DD"]),
        ((*MAIN, "--on", "2025-02-30"), ["2025-02-30"]),
        ((*MAIN, "--weights", "fp7"), ["fp7"]),
        ((*MAIN, "--kv", "x"), ["x"]),
        ((*MAIN, "--engine", "nosuch"), ["nosuch"]),
        ((*MAIN, "--memory", "hbm99"), ["hbm99"]),
        ((*MAIN, "--set", "memory.hbm.pin_rate"), ["PATH=VALUE"]),
        ((*MAIN, "--set", "memory.hbm.capacity=80 GB/s"), ["capacity"]),
        ((*MAIN, "--set", "memory.hbm.nosuch=1"), ["nosuch"]),
        ((*MAIN, "--set", "a.b=1", "--set", "a.b=2"), ["twice"]),
        ((*MAIN, "--chips", "8", "--tp", "2", "--pp", "2", "--dp", "1"), ["8", "tp"]),
        ((*MAIN, "--chips", "8", "--tp", "3"), ["8", "tp"]),
        ((*MAIN, "--export", "out.nosuch"), [".nosuch", ".csv"]),
        ((*MAIN, "--export", "/nosuch/folder/out.csv"), ["/nosuch/folder"]),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], words: list[str]) -> None:
    message = refused(*arguments)
    for word in words:
        assert word in message


def test_a_model_that_does_not_fit_says_how_many_chips_would_do() -> None:
    message = refused("--chip", "h100", "--chips", "1", "--model", "deepseek-r1", code=1)
    assert re.search(r"\d+ (chips|h100)", message)


@pytest.mark.parametrize("option", ["--chip", "--model"])
@pytest.mark.parametrize("kind", ["broken", "directory", "empty", "binary", "missing", "wrong", "huge"])
def test_a_bad_spec_file_is_one_sentence(tmp_path: Path, option: str, kind: str) -> None:
    path = tmp_path / "my.toml"
    if kind == "directory":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(200_000_000)
    elif kind != "missing":
        content = {"broken": b"id = [", "empty": b"", "binary": b"\x00\xff" * 500, "wrong": b'colour = "red"\n'}
        path.write_bytes(content[kind])
    names = {"--chip": "h100", "--model": "llama-70b", option: str(path)}
    assert "my.toml" in refused(*(word for pair in names.items() for word in pair))


# ------------------------------------------------------------------ looking things up


def test_show_h800_composes_its_bandwidth_from_five_stacks() -> None:
    page = answered("show", "h800")
    assert "3.35 TB/s from 5 stacks" in page
    assert "https://" in page
    assert "ridge point 295 op/B" in page


def test_show_model_gives_parts_and_cache() -> None:
    page = answered("show", "llama-70b")
    for word in ("70.55B", "attention", "embedding", "327.7 kB per token", "sources"):
        assert word in page


def test_show_memory() -> None:
    page = answered("show", "hbm3e")
    assert "1,024 bit" in page


@pytest.mark.parametrize("name", ["h800", "llama-70b", "hbm3"])
def test_show_json(name: str) -> None:
    content = json.loads(answered("show", name, "--json"))
    assert content["sources"]
    assert content["derived"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("show", "nosuchthing"), "nosuchthing"),
        (("show", "h8000"), "h800"),
        (("show", "ascend-9"), "ascend-910c"),
        (("show", "a"), "several chips"),
        (("show", "llama-70b", "--set", "layers=4"), "--set"),
        (("show", "h800", "--kind", "boat"), "boat"),
        (("show", "llama-70b", "--memory", "hbm4"), "--memory"),
        (("chips", "--vendor", "nvidea"), "NVIDIA"),
        (("chips", "--kind", "boat"), "gpu"),
        (("chips", "--year", "soon"), "soon"),
        (("models", "--year", "2025-2023"), "2023-2025"),
        (("memory", "--export", "x.nosuch"), ".csv"),
    ],
)
def test_look_ups_refuse_what_they_do_not_know(arguments: tuple[str, ...], word: str) -> None:
    assert word in refused(*arguments)


@pytest.mark.parametrize(("command", "least"), [("chips", 137), ("models", 101), ("memory", 14)])
def test_lists_are_whole_and_fit_the_page(command: str, least: int) -> None:
    rows = json.loads(answered(command, "--json"))
    assert len(rows) >= least
    assert len({row["id"] for row in rows}) == len(rows)
    done = run(command)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert f"{len(rows)} listed" in done.stderr


def test_filters_narrow_the_list() -> None:
    rows = json.loads(answered("chips", "--vendor", "huawei", "--year", "2024-2026", "--json"))
    assert rows
    assert {row["vendor"] for row in rows} == {"Huawei"}
    assert all(2024 <= row["year"] <= 2026 for row in rows)


def test_an_option_of_its_own_tells_the_command() -> None:
    words = ("--prefill-chip", "h800", "--decode-chip", "groq-3-lpu", "--model", "llama-70b")
    assert answered(*words) == answered("mixed", *words)
    assert "share" in answered("--model", "llama-8b", "--share=h800=8,rngd=16")
