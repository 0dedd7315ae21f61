"""`pybackprop lab counters`: what the processor counts while an operation runs, or a simulated one."""
