"""The repository checks its own manners: size, purity, permission, names, captions."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
ROOT = TOP / "src" / "oneprice"
FILES = sorted(p for p in ROOT.rglob("*.py"))
PURE = ("model", "kernel", "core", "strategies", "venues", "twin")
FORBIDDEN = {
    "asyncio", "datetime", "os", "pathlib", "random", "secrets", "socket", "sqlite3",
    "ssl", "subprocess", "threading", "time", "uuid",
}  # fmt: skip
# The wire sides of the twins serve sockets; the server is their shell. Chance is seeded.
MAY_AWAIT = ("twin/server.py", "twin/link.py", "twin/dialects/")
ALLOWED = {
    "kernel/__init__.py": {"os"},
    "twin/chance.py": {"random"},
    "twin/faults.py": {"random"},
    "twin/market.py": {"random"},
    "shell/desk.py": set(),
}
VAGUE = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
FILE_LINES_MAX, FUNCTION_LINES_MAX, ARGUMENTS_MAX = 500, 60, 8


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Source:
    """One module, parsed."""

    def __init__(self, path: Path) -> None:
        self.name = named(path)
        self.text = path.read_text()
        self.tree = ast.parse(self.text)

    @property
    def pure(self) -> bool:
        if self.name == "shell/desk.py":
            return True
        return self.name.split("/")[0] in PURE and not self.name.startswith(MAY_AWAIT)


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


# The rules, each a function over one module, so that each can be shown to bite. -----------


def too_long(source: Source) -> str | None:
    lines = source.text.count("\n")
    return f"{lines} lines" if lines > FILE_LINES_MAX else None


def no_caption(source: Source) -> str | None:
    caption = (ast.get_docstring(source.tree) or "").split("\n\n")[0]
    ends = caption.rstrip().endswith((".", "?")) or ". " in caption or "? " in caption
    return None if caption and ends else "needs a one-sentence caption"


def vague_name(source: Source) -> str | None:
    found = VAGUE & set(Path(source.name).stem.split("_"))
    return f"vague name {found}" if found else None


def long_function(source: Source) -> str | None:
    for f in functions(source.tree):
        if (f.end_lineno or 0) - f.lineno >= FUNCTION_LINES_MAX:
            return f"{f.name} has {(f.end_lineno or 0) - f.lineno + 1} lines"
    return None


def many_arguments(source: Source) -> str | None:
    for f in functions(source.tree):
        taken = [a.arg for a in f.args.args + f.args.kwonlyargs if a.arg not in ("self", "cls")]
        # Command line functions take one argument per option.
        if len(taken) > ARGUMENTS_MAX and not source.name.startswith("cli/"):
            return f"{f.name} takes {len(taken)} arguments"
    return None


def impure(source: Source) -> str | None:
    if not source.pure:
        return None
    found = FORBIDDEN & set(imports(source.tree)) - ALLOWED.get(source.name, set())
    if found:
        return f"imports {sorted(found)}"
    if any(isinstance(n, ast.AsyncFunctionDef | ast.Await) for n in ast.walk(source.tree)):
        return "awaits"
    return None


def swallows(source: Source) -> str | None:
    for node in ast.walk(source.tree):
        broad = isinstance(node, ast.ExceptHandler) and (
            node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
        )
        if broad and source.name.split("/")[0] in PURE:
            return f"line {node.lineno}: catches everything"
    return None


def grants_permission(source: Source) -> str | None:
    calls = [
        n for n in ast.walk(source.tree)
        if isinstance(n, ast.Call) and ast.unparse(n.func).split(".")[-1] == "Approved"
    ]  # fmt: skip
    return "only the gate approves" if calls and source.name != "core/gate.py" else None


def float_money(source: Source) -> str | None:
    if not source.name.startswith(("model/", "core/ledger", "core/gate", "core/sizing")):
        return None
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and type(node.value) is float:
            return f"line {node.lineno}: a float"
    return None


VENUES = sorted(p.parent.name for p in ROOT.glob("venues/*/__init__.py"))


def names_a_venue(source: Source) -> str | None:
    shared = source.name.split("/")[0] in {"model", "kernel", "core", "strategies", "shell"}
    if not shared and source.name not in ("venues/contract.py", "venues/signing.py"):
        return None
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = [v for v in VENUES if node.value.lower() == v]
            if found:
                return f"line {node.lineno}: names {found[0]}"
    return None


def iterates_a_set(source: Source) -> str | None:
    if not source.pure:
        return None
    for node in ast.walk(source.tree):
        iterable = node.iter if isinstance(node, ast.For | ast.comprehension) else None
        if isinstance(iterable, ast.Set | ast.SetComp) or (
            isinstance(iterable, ast.Call) and ast.unparse(iterable.func) in ("set", "frozenset")
        ):
            return f"line {iterable.lineno}: iterates over a set"
    return None


RULES = (
    too_long, no_caption, vague_name, long_function, many_arguments, impure, swallows,
    grants_permission, float_money, names_a_venue, iterates_a_set,
)  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_rule_of_the_house_is_kept(path: Path) -> None:
    source = Source(path)
    found = {rule.__name__: rule(source) for rule in RULES}
    assert {name: said for name, said in found.items() if said is not None} == {}, source.name


BITES = {
    too_long: ("shell/x.py", '"""A."""\n' + "x = 1\n" * 501),
    no_caption: ("shell/x.py", "x = 1\n"),
    vague_name: ("shell/utils.py", '"""A."""\n'),
    long_function: ("shell/x.py", '"""A."""\ndef f():\n' + "    x = 1\n" * 60),
    many_arguments: ("shell/x.py", '"""A."""\ndef f(a, b, c, d, e, f, g, h, i): ...\n'),
    impure: ("core/x.py", '"""A."""\nimport time\n'),
    swallows: ("venues/x.py", '"""A."""\ntry:\n    x = 1\nexcept Exception:\n    pass\n'),
    grants_permission: ("strategies/x.py", '"""A."""\nApproved(intent)\n'),
    float_money: ("core/ledger.py", '"""A."""\nx = 0.1\n'),
    names_a_venue: ("shell/x.py", f'"""A."""\nx = "{VENUES[0]}"\n'),
    iterates_a_set: ("core/x.py", '"""A."""\nfor x in {1, 2}:\n    pass\n'),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_each_rule_bites(rule) -> None:
    name, text = BITES[rule]
    planted = Source.__new__(Source)
    planted.name, planted.text, planted.tree = name, text, ast.parse(text)
    assert rule(planted) is not None


# The arrows ------------------------------------------------------------------------------

PLANTS = {
    "venue imports another venue": ("venues/bybit/planted.py", "oneprice.venues.binance"),
    "dialect imports the engine": ("venues/bybit/planted.py", "oneprice.core.engine"),
    "twin imports a dialect": ("twin/planted.py", "oneprice.venues.contract"),
    "strategy reads the ledger": ("strategies/planted.py", "oneprice.core.ledger"),
    "core reads a clock": ("core/planted.py", "time"),
    "shell imports one venue": ("shell/planted.py", "oneprice.venues.bybit"),
    "shell imports one store": ("shell/planted.py", "oneprice.store.journal"),
    "store imports the core": ("store/planted.py", "oneprice.core.engine"),
    "model points up": ("model/planted.py", "oneprice.core.engine"),
    "kernel points up": ("kernel/planted.py", "oneprice.core.engine"),
    "core points up": ("core/planted.py", "oneprice.shell.clock"),
    "shell points up": ("shell/planted.py", "oneprice.app.config"),
}


def arrows(root: Path) -> str:
    """What the import contracts say about a source tree; empty when they hold."""
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", str(root / ".importlinter"), "--no-cache"],
        cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_arrows_point_down() -> None:
    assert arrows(TOP) == ""


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: p.replace(" ", "_"))
def test_each_arrow_bites(plant: str, tmp_path: Path) -> None:
    name, imported = PLANTS[plant]
    copied = tmp_path / "src" / "oneprice"
    for path in FILES:
        target = copied / named(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    (tmp_path / ".importlinter").write_text((TOP / ".importlinter").read_text())
    (copied / name).write_text(f'"""Planted."""\n\nimport {imported}\n')
    assert "planted" in arrows(tmp_path)
