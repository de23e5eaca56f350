"""Pictures and labels: where they are, how they are read, and how they become a network's input."""
