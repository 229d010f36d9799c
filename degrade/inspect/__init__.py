"""Look into a pair store: show, describe and check it."""
