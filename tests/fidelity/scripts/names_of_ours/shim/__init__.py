OWN = "shim"
