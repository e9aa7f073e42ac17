OWN = "files"
