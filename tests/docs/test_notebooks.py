"""The notebooks of examples/ are kept without outputs, and run in a kernel without an error and without a warning.

everyday.ipynb has a module of its own.
"""

import json

import pytest

from helpers.compile_c import ROOT, compilers

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SHOWN = {
    "explain": ["w.g[0,0] = 0.33333334", "w.g = x.T @ l1.g", "l1.g.sum(0)", "Right", "Wrong"],
    "kernel": ["BIT-EQUAL", "ROUNDING", "WRITES OUT OF BOUNDS"],
    "lesson": ["columns that moved: {3}", "peak", "5. From one element to all: w1.g = x.T @ l1.g", "Wrong"],
    "table": ["of the held-out rows are right", "'pink', which the model was not trained with"],
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_kept_without_outputs(path):
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_each_notebook_is_run():
    assert {path.stem for path in NOTEBOOKS} == {*SHOWN, "everyday"}


@pytest.mark.parametrize("name", SHOWN)
def test_it_runs_and_shows(name):
    for library in ("ipykernel", "nbformat", "nbclient", "matplotlib"):
        pytest.importorskip(library)
    import nbclient
    import nbformat

    if name == "kernel" and not compilers():
        pytest.skip("no compiler")
    notebook = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert all(output.name == "stdout" for output in outputs if output.output_type == "stream")
    said = "".join(output.text if output.output_type == "stream" else output.data["text/plain"] for output in outputs)
    for words in SHOWN[name]:
        assert words in said
