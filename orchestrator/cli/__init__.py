"""The command line: the only place that prints, parses arguments and turns errors into exit codes."""
