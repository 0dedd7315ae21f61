"""lab try without --op: the operation by the name of the kernel's function, or what to write."""

import pytest

from pybackprop.cli.main import main
from pybackprop.lab.kernel_name import operation_in
from pybackprop.lab.operation import started
from pybackprop.lab.operations import TRIED


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", TRIED)
def test_a_file_to_start_from_is_known(op, dtype):
    assert operation_in("k.c", started(TRIED[op], dtype)) == op


@pytest.mark.parametrize(
    ("text", "op"),
    [
        ("static float dot(float *a) { return *a; }\nvoid relu(float *out,\n  const float *x, size_t n)\n{ }", "relu"),
        ("/* void matmul(float *c) { } */ // void mse(float *l) {\nvoid relu(float *out) {}", "relu"),
        ("void matmul(float *c);\nvoid linear_forward(float *out) { matmul(out); }", "linear_forward"),
        ("void\nmatmul (float *c)\n{\n  for (;;) { if (c) { return; } }\n}", "matmul"),
        ("static void tile(float *c) {}\nvoid matmul(float *c) { tile(c); }", "matmul"),
        ("static void relu(float *c) {}\nextern void matmul(float *c) { relu(c); }", "matmul"),
    ],
)  # fmt: skip
def test_the_function_that_is_defined(text, op):
    assert operation_in("k.c", text) == op


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("void my_kernel(float *c) { while (c) { } }", r"k.c: found my_kernel; name the kernel's function .*--op$"),
        ("int x;", "found no function that is not static; name"),
        ("void relu(float *o) {}\nvoid matmul(float *c) {}", "relu and matmul; say which one is meant: --op relu$"),
    ],
)  # fmt: skip
def test_otherwise_it_says_what_to_write(text, said):
    with pytest.raises(ValueError, match=said):
        operation_in("k.c", text)


def test_the_command(tmp_path, capsys):
    file = tmp_path / "k.c"
    file.write_text("void fast(float *c) {}\n")
    assert main(["lab", "try", str(file), "--no-timing"]) != 0
    assert "found fast; name the kernel's function after what it computes" in capsys.readouterr().err
