"""What each backend is: facts kept by hand with their sources, facts measured with their command, systems that ended."""
