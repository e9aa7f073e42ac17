"""SQLite: connections, migrations, and a file of queries per resource."""
