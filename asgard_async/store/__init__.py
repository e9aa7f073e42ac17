"""SQLite: connections, migrations, and one file of queries per resource."""
