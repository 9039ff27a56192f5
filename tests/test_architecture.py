"""The rooms of `brat`: arrows go down only, modules form no circle, and serving needs no research."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brat.io.samples import load_samples
from tests.factories.paths import ROOT

BASE = {"classes", "environment", "log", "wording"}

ROOMS: dict[str, set[str]] = {
    **{name: set() for name in BASE},
    "io": BASE,
    "model": BASE | {"io"},
    "perturb": BASE | {"io", "model"},
    "reports": BASE | {"io", "model"},
    "store": BASE | {"io", "model", "reports"},
    "figures": BASE | {"io", "model", "perturb", "store"},
    "api": BASE | {"io", "model"},
    "pacs": BASE | {"io", "model", "reports", "metrics"},
    "serve": BASE | {"io", "model", "reports", "pacs", "metrics"},
    "__init__": BASE | {"io", "api"},
    "data": BASE | {"io", "model", "figures", "store"},
    "training": BASE | {"io", "model", "perturb", "data"},
    "evaluation": BASE | {"io", "model", "perturb", "data", "training"},
    "metrics": BASE | {"io", "model"},
    "predict": BASE | {"io", "model"},
    "batch": BASE | {"io", "model", "pacs", "predict"},
    "cli": BASE
    | {"io", "model", "perturb", "reports", "store", "predict", "pacs", "serve", "batch"}
    | {"data", "training", "evaluation"},
}
"""Each room (a package, or a module beside the packages), and the rooms that it may import."""

ALONE = {"brat.batch.on_ray", "brat.io.jpeg12"}
"""Modules that load much, and that only one kind of file or of run needs."""

RESEARCH = {"data", "training", "evaluation"}

SERVING = set(ROOMS) - RESEARCH - {"cli"}

TOO_MUCH = {
    "albumentations",
    "dicomweb_client",
    "fastapi",
    "highdicom",
    "keras",
    "matplotlib",
    "nibabel",
    "openpyxl",
    "pandas",
    "plotly",
    "pynetdicom",
    "scipy",
    "sklearn",
    "streamlit",
    "tensorflow",
    "torch",
    "xlsxwriter",
}
"""Packages that take long to import and that no reading of a slice needs."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "brat").rglob("*.py"))}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every import in a file, in functions too, as (module, whether it is made only for type checking)."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]

    def visit(node: ast.AST, typing_only: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing_only = True
        if isinstance(node, ast.Import):
            yield from ((alias.name, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                # `from brat.io import scan` imports a module, `from brat.io.scan import Scan` a name in one.
                within = f"{base}.{alias.name}"
                yield (within if within in MODULES else base), typing_only
        for child in ast.iter_child_nodes(node):
            yield from visit(child, typing_only)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


def room(module: str) -> str:
    return (module.split(".") + ["__init__"])[1]


def test_every_room_is_known():
    assert {room(module) for module in MODULES} == set(ROOMS)


def test_allowed_arrows_form_no_circle():
    """Going through the rooms in an order, each may import only those before it."""
    order: list[str] = []
    while len(order) < len(ROOMS):
        ready = [name for name, below in ROOMS.items() if name not in order and below <= set(order)]
        assert ready, f"The rooms {set(ROOMS) - set(order)} form a circle."
        order += ready


@pytest.mark.parametrize("module", MODULES)
def test_arrows_go_down_only(module):
    """Imports for type checking do not count, as they never run."""
    below = {room(module), *ROOMS[room(module)]}
    imported = {name for name, typing_only in imports(MODULES[module]) if not typing_only}
    within = {name for name in imported if name.split(".")[0] == "brat"}
    assert {name for name in within if room(name) not in below} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in SERVING])
def test_serving_imports_no_research(module):
    imported = {name for name, _ in imports(MODULES[module])}
    assert {name for name in imported if name.startswith("brat.") and room(name) in RESEARCH} == set()
    assert {name for name in imported if name.split(".")[0] == "tools"} == set()


@pytest.mark.parametrize("module", MODULES)
def test_the_library_imports_no_page(module):
    tops = {name.split(".")[0] for name, _ in imports(MODULES[module])}
    assert tops.isdisjoint({"app", "benchmarks", "pages", "streamlit", "tests"})


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) == "io"])
def test_pydicom_is_imported_before_a_module_of_it(module):
    """Otherwise two threads that import it at once, one of them by a module, may both get half of it."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for scope in (n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.FunctionDef)):
        names = []
        for node in scope.body:
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
        of_pydicom = [name for name in names if name.split(".")[0] == "pydicom"]
        assert of_pydicom[:1] in ([], ["pydicom"])


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules each of which imports the next, and the last the first; empty where there is no circle."""
    finished: set[str] = set()

    def search(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module not in finished:
            for name in sorted(edges[module]):
                if closed := search(name, [*path, module]):
                    return closed
            finished.add(module)
        return []

    for module in sorted(edges):
        if closed := search(module, []):
            return closed
    return []


def test_modules_form_no_circle():
    """Imports inside functions count; those for type checking do not, as they never run."""
    edges = {
        module: {name for name, typing_only in imports(path) if name in MODULES and not typing_only}
        for module, path in MODULES.items()
    }
    assert circle(edges) == []


def test_a_circle_is_noticed():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_are_seen_wherever_they_stand():
    seen = set(imports(MODULES["brat.store.cases"]))
    assert ("brat.model.reader", True) in seen
    # In a function.
    assert ("alembic.config", False) in set(imports(MODULES["brat.store.database"]))


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running some code."""
    code += "\nimport sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def assert_lean(modules: set[str]) -> None:
    assert {name for name in modules if name.split(".")[0] in TOO_MUCH | {"tools", "pages"}} == set()
    assert {name for name in modules if name.startswith("brat.") and room(name) in RESEARCH} == set()


def test_reading_a_scan_loads_no_research_and_nothing_slow():
    sample = str(load_samples()[0].file)
    assert_lean(
        loaded(
            "from brat.io.read import read_scan\n"
            "from brat.model.explain import blend, grad_cam, onto_scan\n"
            "from brat.model.reader import Reader\n"
            f"scan = read_scan({sample!r})\n"
            "reading = Reader().read(scan.gray)\n"
            "assert reading.sets and reading.ood\n"
            "cam = grad_cam(reading.prediction, reading.prediction.label)\n"
            "blend(scan.gray, onto_scan(cam, reading.geometry), 0.6)"
        )
    )


def test_serving_modules_load_no_research_and_nothing_slow():
    """All but figures, which are Plotly's, those on a network, Alembic's, and what stands `ALONE`."""
    modules = [
        name
        for name in MODULES
        if room(name) in SERVING - {"figures", "pacs", "serve"} and "migrations" not in name
    ]
    assert len(modules) > 20
    assert_lean(loaded("\n".join(f"import {name}" for name in modules if name not in ALONE)))


def test_the_command_loads_no_research_before_it_is_asked():
    assert_lean(loaded("import brat.cli"))


PARSERS = {
    *("dcmread", "read_partial", "read_dataset", "from_json", "encoded_dataset"),
    *("imdecode", "ZipFile", "TarFile", "decompressobj", "read_scan"),
}
"""What takes bytes of others apart, by the last name of the call."""

IN_OUR_PROCESS = {
    "brat.pacs.dimse": "dcmread: results of this program; encoded_dataset: as of the router",
    "brat.pacs.dicomweb": "dcmread: the same; from_json: answers of an archive that the settings name",
    "brat.pacs.router": "encoded_dataset: bytes as they came; only UIDs are looked for, within bounds",
    "brat.reports.dicom_source": "dcmread: a header of 256 kB at most, written by a reading process",
    "brat.perturb.changes": "imdecode: a picture that this program has just packed",
    "brat.batch.process": "a reading process itself",
}
"""The modules outside of `brat.io` that take bytes apart in the process that serves everybody, and why it is
bounded there."""


def parsing(path: Path) -> set[str]:
    """The calls of `PARSERS` in a module, but for ZIP files that are written."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            is_written = any(isinstance(one, ast.Constant) and one.value == "w" for one in node.args)
            if name in PARSERS and not is_written:
                found.add(name)
    return found


def test_files_of_others_are_taken_apart_in_processes_that_can_be_killed():
    pages = {
        str(path.relative_to(ROOT)): path
        for path in (ROOT / "pages").rglob("*.py")
        if path.name != "trust.py"
    }
    served = {name: path for name, path in MODULES.items() if room(name) not in RESEARCH | {"io", "figures"}}
    found = {name for name, path in (served | pages).items() if parsing(path)}
    # The samples are ours.
    assert parsing(ROOT / "pages" / "parts" / "trust.py") == {"read_scan"}
    assert found - {"brat.io"} <= set(IN_OUR_PROCESS)
    asking = {"brat.io.intake", "brat.io.read", "brat.io.dicomdir", "brat.io.dicom_parts", "brat.io.dicom"}
    for name, path in (served | pages).items():
        taken = {module for module, typing_only in imports(path) if not typing_only} & asking
        assert taken <= {"brat.io.intake"} or name == "brat.batch.process", name
