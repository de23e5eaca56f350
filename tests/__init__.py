"""The tests of darkpy; they mirror its modules."""
