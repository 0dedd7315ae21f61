"""The laboratory, `pybackprop lab`: kernels of one's own, checked and timed beside the library's."""
