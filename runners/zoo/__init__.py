"""The built-in models: where their weights come from, and inputs that look like what they are made for."""
