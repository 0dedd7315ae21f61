"""Documents, formulas and numbers as text, HTML, LaTeX and JSON."""
