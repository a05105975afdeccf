"""What tests share: targets to profile, and whether this machine lets us."""
