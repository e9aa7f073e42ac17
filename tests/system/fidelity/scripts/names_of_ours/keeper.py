OWN = "keeper"
