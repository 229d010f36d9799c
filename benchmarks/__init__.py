"""Measurements that are no tests: scripts beside the packages, with what they share.

`picture` judges restorations by figures, `judged` lays them before people, `rivals` trains other
networks to compare with, `speed` measures time and memory; `shared` is what several of them use.
Rooms import from `shared`, and `rivals` from `picture`; nothing else. Results lie in `results`.
"""
