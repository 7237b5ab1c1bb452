"""How a process runs apart from all others: in a container, a virtual environment or an interpreter of the user's."""
