"""All that shows; knows no torch."""
