"""The networks: what is trained, and where its first weights come from."""
