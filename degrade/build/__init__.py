"""Make a pair store out of clean photographs."""
