"""`pybackprop lab roofline`: a model's operations beside what this machine can do."""
