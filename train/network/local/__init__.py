"""What repairs a photograph, or a tile of one, at its own resolution: two networks to choose from.

Both have the method `restore_locally` and read the same configuration: `unet` finds marks and
paints with one U-Net; `close_look` finds all marks first, fills them, and refines what is filled.
"""
