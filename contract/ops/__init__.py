"""Preprocessing, written once: training, export and the device call these very functions."""
