"""Physical damage that lies upon a print: dust, scratches, stains, tears and the like."""
