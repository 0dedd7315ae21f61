"""A model in other libraries' formats: PyTorch and ONNX. Neither is imported before it is used."""
