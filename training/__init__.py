"""Train a workload's model from recordings; imports the contract and nothing of the other roles."""
