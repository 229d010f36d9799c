"""What time does to a photograph: one file for each stage, drawn, recorded and applied."""
