"""What every kernel of every device shares: formulas of sizes, and the table of activations."""
