"""Results of other benchmark tools read as measured rows."""
