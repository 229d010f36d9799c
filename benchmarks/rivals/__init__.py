"""Other networks, and ours with parts left out, trained for equal time and measured beside ours."""
