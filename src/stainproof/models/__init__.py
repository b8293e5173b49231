"""Networks of general blocks, and the predictor that carries their input preprocessing."""
