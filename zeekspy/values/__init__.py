"""Values of script variables, read from memory and printed as Zeek prints them."""
