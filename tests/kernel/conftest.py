"""Both kernels as one fixture: every test of behaviour runs on each of them."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

KERNELS = ("oneprice.kernel.reference", "oneprice.kernel._native")


def load(name: str) -> ModuleType:
    """Import one kernel, or skip the test saying why."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"the native kernel is not built: {error}")


@pytest.fixture(params=KERNELS, ids=("reference", "native"))
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    """One of the two kernels."""
    return load(request.param)


@pytest.fixture
def both() -> tuple[ModuleType, ModuleType]:
    """The reference and the native kernel."""
    return load(KERNELS[0]), load(KERNELS[1])
