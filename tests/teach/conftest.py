"""Live pages, closed after the test."""

import pytest

import pybackprop as bp


@pytest.fixture
def opened():
    """Pages to be closed."""
    pages = []
    yield pages
    for page in pages:
        page.close()


@pytest.fixture
def show(opened):
    def show(t, at):
        opened.append(bp.explain(t, at=at).page(live=True))
        return opened[-1]

    return show
