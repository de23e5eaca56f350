"""Training: the loop, what it draws, what it saves and what it says."""
