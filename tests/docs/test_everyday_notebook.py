"""examples/everyday.ipynb runs in a kernel, and shows what a notebook should show."""

import pytest

from helpers.compile_c import ROOT

PATH = ROOT / "examples" / "everyday.ipynb"
LIBRARIES = ("ipykernel", "nbformat", "nbclient", "matplotlib", "pandas", "polars", "scipy", "torch", "safetensors")


@pytest.fixture(scope="module")
def cells():
    """(source, outputs) of each cell of code, after running it."""
    for library in LIBRARIES:
        pytest.importorskip(library)
    import nbclient
    import nbformat

    notebook = nbformat.read(PATH, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [(cell.source, cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cells, part):
    """The outputs of the cell whose code has this part."""
    (found,) = [outputs for source, outputs in cells if part in source]
    return found


def test_training_shows_one_bar_of_text_and_no_warning(cells):
    bar, history = outputs(cells, "progress=True")
    assert bar.output_type == "display_data"
    assert bar.data["text/plain"].startswith("epoch ")
    assert "█" in bar.data["text/plain"]
    assert "History of " in history.data["text/plain"]
    streams = [output for _, found in cells for output in found if output.output_type == "stream"]
    assert all(output.name == "stdout" for output in streams)  # a warning would be on stderr


@pytest.mark.parametrize("call", ["history.plot()", "memory(batch=16).plot()"])
def test_figures_are_pictures(cells, call):
    (figure,) = outputs(cells, call)
    assert len(figure.data["image/png"]) > 5000


def test_tables(cells):
    (summary,) = outputs(cells, "model.summary()")
    assert "<table>" in summary.data["text/html"]
    assert "3,760 parameters" in summary.data["text/plain"]


def test_every_kind_of_data_has_the_same_loss(cells):
    (losses,) = outputs(cells, "scipy.sparse.csr_array")
    assert len(losses.data["text/plain"].splitlines()) == 6


def test_refusals_say_what_to_do(cells):
    said = [output.text for _, found in cells for output in found if output.output_type == "stream"]
    assert "gives its batches once" in said[0]
    assert "give transpose=True if they are" in said[1]


def test_an_error_shows_few_frames(cells):
    (error,) = outputs(cells, "model(x[:, 1:], targ)")
    assert error.ename == "ShapeError"
    assert sum("pybackprop" in line and "File" in line for line in error.traceback) <= 2


def test_it_is_kept_without_outputs():
    assert '"output_type"' not in PATH.read_text("utf-8")
