"""Tests, and what builds their tiny models."""
