"""The outputs that the documents quote are those that the commands have (renew them: python tools/make_docs.py)."""

import importlib.util

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
