"""The HTTP edge: every URL, what it accepts and how it answers."""
