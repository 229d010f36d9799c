"""Train the network of `restore` on the pairs of `degrade`, with fastai."""

__version__ = "0.1.0"
