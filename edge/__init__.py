"""The device runtime: sources, engines, pipelines, an outbox that loses nothing."""
