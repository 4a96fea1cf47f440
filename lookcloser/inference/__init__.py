"""Running a trained network: its engine, the loop over a split, several views of one image."""
