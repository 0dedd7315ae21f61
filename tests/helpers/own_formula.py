"""A reader who types a formula of their own into the page."""


def typed(page, formula):
    page.js("pybackprop.app.set({own: arguments[0]}, {only: 'own'})", formula)
    return page.text("#own-verdict")


def table(page):
    return page.js(
        """return [...document.querySelectorAll('#own-terms tbody tr')]
        .map(row => [...row.cells].map(cell => cell.textContent));"""
    )
