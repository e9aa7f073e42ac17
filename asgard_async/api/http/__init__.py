"""HTTP below the resources: bodies, connections, authentication, problem documents."""
