"""Steps of a prediction, one module each."""
