"""Turn a training run into a bundle that a device can believe, and measure bundles on data sets."""
