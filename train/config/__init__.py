"""What a training run does, as typed and frozen records that are read from TOML.

`schema` has their base, then one file for each part: `losses`, `critics`, `stages`, `run`; `files`
reads and writes them.
"""
