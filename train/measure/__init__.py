"""What restorations are measured by."""
