"""The pair store on the disk: manifest, shards, LMDB files, and files that are written whole."""
