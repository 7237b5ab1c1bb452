"""What stands between this machine and numbers that can be trusted: one line each, with what to do about it."""
