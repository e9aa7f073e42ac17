"""Which job starts when."""
