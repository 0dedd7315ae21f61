"""What all other packages use: the binding of the C core, arrays, settings, files, checks, errors."""
