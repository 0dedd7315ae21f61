"""The teaching side: gradients explained, judged and practised, element by element."""
