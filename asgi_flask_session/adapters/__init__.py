"""One module for each framework, which imports that framework only; imported by its path."""
