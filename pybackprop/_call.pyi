from typing import Any

class Prepared:
    def __init__(self, *given: Any) -> None: ...
    def run(self, *given: Any) -> float | None: ...

class Eager:
    def __init__(self, *given: Any) -> None: ...

FUNCTIONS: tuple[str, ...]
