print("Hello from a job of Asgard.")
