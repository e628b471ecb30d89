"""Which kernel serves, and that a user's code has types for it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

SAY = "import oneprice.kernel as k; print(k.NAME, k.Book.__module__)"


def said(chosen: str) -> list[str]:
    environment = os.environ | {"ONEPRICE_KERNEL": chosen, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SAY]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_the_environment_can_choose_the_reference() -> None:
    assert said("reference") == ["reference", "oneprice.kernel.reference.book"]


def test_the_native_kernel_serves_where_it_is_built() -> None:
    if importlib.util.find_spec("oneprice.kernel._native") is None:
        pytest.skip("the native kernel is not built")
    assert said("") == ["native", "oneprice.kernel._native"]


def test_both_kernels_have_the_same_public_names() -> None:
    native = pytest.importorskip("oneprice.kernel._native", reason="native kernel not built")
    reference = importlib.import_module("oneprice.kernel.reference")
    for name in ("Book", "DepthReader", "Tripwires"):
        public = [
            {part for part in dir(getattr(module, name)) if not part.startswith("_")}
            for module in (native, reference)
        ]
        # What the parts of the reference need of each other is no promise.
        assert public[0] == public[1] - {"change", "read", "tripped"}
