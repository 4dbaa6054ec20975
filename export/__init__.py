"""Export: a trained run in, a quantized, verified bundle out."""
