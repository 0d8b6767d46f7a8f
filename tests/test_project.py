"""The project as a stranger meets it: the README's commands, and a wheel that answers like the checkout."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
QUESTION = ["--chip", "cerebras", "--model", "llama-70b", "--on", "2026-10-31", "--json"]


def commands() -> list[str]:
    """Every line after "$ " in a console block of the README."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def tokcalc_part(command: str) -> list[str]:
    """The tokcalc command of a line, which may first make an environment; empty where there is none."""
    words = shlex.split(command.split("&&")[-1])
    return words[1:] if words[0].endswith("tokcalc") else []


def test_readme_opens_with_the_two_commands() -> None:
    first, second = commands()[:2]
    assert "pip install -q ." in first
    assert tokcalc_part(first) == ["--chip", "cerebras", "--model", "llama-70b"]
    assert "'.[dev]'" in second
    assert second.endswith("pytest")


@pytest.mark.parametrize("command", [command for command in commands() if tokcalc_part(command)])
def test_readme_commands_run(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tokcalc", *tokcalc_part(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_readme_python_runs() -> None:
    for block in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "bench").glob("*.py")))
def test_benchmarks_find_what_they_import(script: str) -> None:
    code = f"import runpy; runpy.run_path({str(ROOT / 'bench' / script)!r}, run_name='imported')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_file_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_public_names_are_functions_whatever_was_imported_first() -> None:
    code = (
        "import tokcalc.explore.compare, tokcalc.answers.estimate, tokcalc; "
        "from tokcalc import compare, estimate, load_chip, load_model; "
        "assert all(map(callable, (compare, estimate, load_chip, load_model))); "
        "assert tokcalc.estimate is estimate; assert 'plan' in dir(tokcalc)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, tokcalc; print([m for m in ('numpy', 'typer', 'pandas', 'pint') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_wheel_gives_the_same_answer(tmp_path: Path) -> None:
    """Build it, install it elsewhere, ask from another folder: the same JSON as the checkout gives."""
    source, wheels, home = tmp_path / "source", tmp_path / "wheels", tmp_path / "home"
    for name in ("calc", "specs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("*.whl")

    venv.create(home, with_pip=False)
    python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
    subprocess.run([*pip, "--python", python, "install", "-q", "--no-deps", str(wheel)], check=True)
    assert ask(python, home) == ask(sys.executable, ROOT)


def ask(interpreter: str, home: Path) -> object:
    """The main question's JSON from an interpreter which must have tokcalc from below `home`.

    Dependencies come from the environment of the tests; a path in PYTHONPATH brings no editable install.
    """
    libraries = next(path for path in sys.path if (Path(path) / "numpy").is_dir())
    code = "import sys, tokcalc.cli; print(tokcalc.__file__, file=sys.stderr); tokcalc.cli.main()"
    done = subprocess.run(
        [interpreter, "-c", code, *QUESTION],
        cwd=home,
        env={**os.environ, "PYTHONPATH": libraries},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(home) in done.stderr
    return json.loads(done.stdout)
