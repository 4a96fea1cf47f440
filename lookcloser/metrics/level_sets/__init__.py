"""Connected components of maps at many thresholds at once."""
