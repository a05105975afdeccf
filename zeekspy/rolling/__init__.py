"""Rolling captures: the last minutes of every node in memory, and on disk those around what a trigger has seen."""
