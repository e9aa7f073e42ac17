"""Jobs as Asgard knows them: records, states, transitions and errors. Standard library alone."""
