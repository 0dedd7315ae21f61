"""`pybackprop lab machine`: what this machine can do, measured."""
