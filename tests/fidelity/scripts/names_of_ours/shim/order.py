OWN = "order"
