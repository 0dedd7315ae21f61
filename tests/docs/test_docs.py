"""The outputs that the documents quote are those that the commands have (renew them: python tools/make_docs.py)."""

import importlib.util
import subprocess

import pytest

from helpers.compile_c import ROOT

spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
make_docs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_docs)

QUESTIONS = {"b1[7]": "b1.g = l1.g.sum(0)", "w1[3,7]": "w1.g = x.T @ l1.g", "x[1,2]": "x.g = l1.g @ w1.T"}
ASKED = {ROOT / "README.md": ["w1[3,7]"], ROOT / "docs" / "why.md": list(QUESTIONS)}


@pytest.mark.parametrize("document", make_docs.DOCUMENTS, ids=lambda path: path.name)
def test_the_outputs_are_those_of_the_commands(document):
    text = document.read_text("utf-8")
    assert make_docs.refreshed(text) == text


@pytest.mark.parametrize("document", make_docs.TUTORIALS, ids=lambda path: path.name)
def test_a_tutorial_prints_what_it_says(document):
    """All of its code, commands too, from the first block to the last."""
    text = document.read_text("utf-8")
    if "import torch" in text:
        pytest.importorskip("torch")
    assert make_docs.refreshed(text, whole=True) == text


def test_lines_that_no_two_runs_have_alike_are_kept():
    text = "```python\nprint('epochs', 3)\nprint('digest', 1)\n```\n\n```text\nepochs 2\ndigest 0\n```\n"
    assert make_docs.refreshed(text) == text.replace("digest 0", "digest 1")


def test_blocks_share_names_and_a_folder():
    made = "```python\nx = 1\nopen('a', 'w').close()\n```\n\n"
    text = f"{made}```python\nimport os\nprint(x, os.listdir())\n```\n\n```text\n```\n"
    assert make_docs.refreshed(text).endswith("```text\n1 ['a']\n```\n")


def test_code_that_fails_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        make_docs.refreshed("```python\n1 / 0\n```\n")


@pytest.mark.parametrize("document", ASKED, ids=lambda path: path.name)
def test_each_question_is_answered_by_a_command(document):
    quoted = {code.strip(): output for _, code, output in make_docs.QUOTED.findall(document.read_text("utf-8"))}
    for element in ASKED[document]:
        output = quoted[f'pybackprop explain --element "{element}"']
        assert f"5. From one element to all: {QUESTIONS[element]}" in output
        assert "bit for bit" in output
        assert all(len(line) <= 100 for line in output.splitlines())


def test_a_changed_output_is_noticed():
    text = "```sh\npybackprop explain --element b1\n```\n\n```text\nsomething else\n```\n"
    assert make_docs.refreshed(text) != text
    assert "b1.g" in make_docs.refreshed(text)
    assert make_docs.refreshed(make_docs.refreshed(text)) == make_docs.refreshed(text)


def test_why_names_its_sources_and_the_wrong_answer():
    text = (ROOT / "docs" / "why.md").read_text("utf-8")
    for words in ("dz @ x.T", "column", "arXiv:1802.01528", "backpropagation from the foundations", "4.5.2", "6.2"):
        assert words in text
