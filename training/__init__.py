"""Training: recordings in, Keras models and reports out."""
