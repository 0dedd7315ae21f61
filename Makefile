# What one types all day; .ci/run is everything that must hold.

.PHONY: install test test-all lint format bench docs outputs

install:
	pip install -q -e '.[dev]'

test:
	pytest

test-all:
	pytest -m ''

lint:
	ruff check .
	ruff format --check .
	mypy
	mypy --strict tests/typing_surface.py
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')

format:
	ruff check --fix .
	ruff format .
	clang-format -i $$(git ls-files '*.c' '*.h')

bench:
	pybackprop bench --quick

docs:
	python tools/build_site.py

outputs:
	python tools/make_docs.py
