"""The program that is counted: one operation, so many times, without numpy, which would take longer than it.

python program.py JSON, with: core, the path of the C core; folder, of _cffi_backend; op, sizes (three), dtype, kernel
(a number), threads, calls. What is counted around the operation is the same for any number of calls.
"""

import importlib.util
import json
import sys
from typing import Any


def main() -> None:
    task = json.loads(sys.argv[1])
    sys.path.append(task["folder"])
    spec = importlib.util.spec_from_file_location("pybackprop._core", task["core"])
    assert spec is not None
    assert spec.loader is not None
    core: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    ffi, lib = core.ffi, core.lib
    lib.bp_set_threads(task["threads"])
    if lib.bp_use_kernel(task["kernel"]):
        sys.exit(f"this processor, or the simulated one, does not have kernel {task['kernel']}")
    n, m, h = task["sizes"]
    kind, suffix = ("double", "_f64") if task["dtype"] == "float64" else ("float", "_f32")

    def matrix(rows: int, columns: int) -> Any:
        numbers = ffi.new(f"{kind}[]", rows * columns)
        getattr(lib, "bp_random_uniform" + suffix)(numbers, 1.0, state, rows * columns)
        return numbers

    state = ffi.new("uint64_t *", lib.bp_random_stream(0, 0))
    x, w, out, b = matrix(n, m), matrix(m, h), matrix(n, h), matrix(1, h)
    calls = {
        "matmul": ("bp_matmul", (out, h, x, m, w, h, n, m, h, 0, 0, 0)),
        "linear": ("bp_linear_forward", (out, x, w, b, n, m, h)),
        "backward_w": ("bp_linear_backward_w", (w, x, out, n, m, h, 0)),
        "backward_x": ("bp_linear_backward_x", (x, out, w, n, m, h, 0)),
    }
    name, arguments = calls[task["op"]]
    call = getattr(lib, name + suffix)
    for _ in range(task["calls"]):
        call(*arguments)


if __name__ == "__main__":
    main()
