"""The training host: batch jobs, and the demo that runs the whole suite on one machine."""
