"""Run tasks on the workers of a Dask cluster. Only here is Dask imported, and when it is used."""
