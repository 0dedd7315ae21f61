"""What several tests share: networks, numbers, twins, C programs, processes, a browser. No test imports a test."""
