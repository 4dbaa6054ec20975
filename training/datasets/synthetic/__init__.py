"""Data that is made, where none can be had."""
