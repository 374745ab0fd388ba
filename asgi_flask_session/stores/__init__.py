"""Where server-side sessions are kept: one module for each kind of store, imported by its path."""
