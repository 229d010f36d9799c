"""The terms of the loss that the generator and the critic are trained with."""
