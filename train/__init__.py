"""Train the network of `restore` on the pairs of `degrade`, with fastai."""
