"""The page on adding a venue is true: its venue is built from it and passes its cards."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "add_a_venue.md"
LINES_MAX = 700
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r"# (\S+/\S+\.\w+)(, continued)?")


def blocks() -> tuple[dict[str, str], str]:
    """The files that the page writes, by path, and its lines of registration."""
    files: dict[str, str] = {}
    registration = ""
    for language, text in BLOCK.findall(PAGE.read_text()):
        first, _, rest = text.partition("\n")
        title = TITLE.fullmatch(first)
        if language == "diff":
            registration += text
        elif title is not None and title[2]:
            files[title[1]] += "\n\n" + rest
        elif title is not None:
            files[title[1]] = rest
    return files, registration


RUN = re.compile(r"^ (.*)\n((?:\+.*\n)+)", re.MULTILINE)


def register(tree: Path, lines: str) -> None:
    """Put every run of `+` lines behind the line above it, wherever that stands in its file."""
    for part in lines.split("--- ")[1:]:
        name, _, changes = part.partition("\n")
        path = tree / name
        for above, added in RUN.findall(changes):
            text, known = path.read_text(), f"\n{above}\n"
            assert known in text, f"{name}: the page names a line that is gone: {above!r}"
            new = re.sub(r"^\+", "", added, flags=re.MULTILINE)
            path.write_text(text.replace(known, known + new))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, with the sixth venue in it."""
    tree = tmp_path_factory.mktemp("sixth")
    skipped = shutil.ignore_patterns("__pycache__", "*.c", "*.egg-info")
    shutil.copytree(TOP / "src", tree / "src", ignore=skipped)
    shared = [f"tests/wire/{path.name}" for path in (TOP / "tests" / "wire").glob("*.py")]
    for name in (".importlinter", "tests/test_tidy.py", *shared):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TOP / name, tree / name)
    files, registration = blocks()
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    register(tree, registration)
    return tree


def python(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tree / "src")}, timeout=300,
    )  # fmt: skip


def test_a_whole_venue_with_its_twin_takes_less_than_seven_hundred_lines() -> None:
    assert PAGE.read_text().count("\n") < LINES_MAX


def test_the_venue_of_the_page_passes_every_card_that_it_owes(tree: Path) -> None:
    done = python(tree, "-m", "oneprice.cli.main", "venues", "sixth", "--json")
    assert done.stdout, done.stderr
    told = msgspec.json.decode(done.stdout)
    assert [v for v in told["verdicts"] if not v["passed"]] == []
    cells = {feature: row["sixth"] for feature, row in told["table"].items()}
    asked = "from oneprice.app.build import spec_of; print(*sorted(spec_of('sixth').features))"
    declared = python(tree, "-c", asked).stdout.split()
    assert sorted(name for name, cell in cells.items() if cell == "passed") == sorted(
        [*declared, "always"]
    )


def test_the_transcript_of_the_page_goes_as_written(tree: Path) -> None:
    done = python(tree, "-m", "pytest", "-q", "tests/wire/test_wire.py", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout


def test_the_code_of_the_page_keeps_the_manners_of_the_house(tree: Path) -> None:
    chosen = ("-k", "sixth or arrows_point_down", "-p", "no:cacheprovider")
    done = python(tree, "-m", "pytest", "-q", "tests/test_tidy.py", *chosen)
    assert done.returncode == 0, done.stdout
