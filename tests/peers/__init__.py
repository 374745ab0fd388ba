"""The real other side: Flask, Quart, Werkzeug and itsdangerous in the same process, as oracles."""
