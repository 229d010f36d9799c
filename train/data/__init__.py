"""From pairs on disk to batches on the device."""
