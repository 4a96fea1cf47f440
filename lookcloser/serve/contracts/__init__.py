"""What other tools ask for, in their own words."""
