"""What everything else stands on: the binding of the C core, arrays, settings, files, checks, errors."""
