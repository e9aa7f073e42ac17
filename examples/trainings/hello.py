print("Hello from an Asgard job.")
