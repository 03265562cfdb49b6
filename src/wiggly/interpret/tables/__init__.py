"""What a model of tables goes by: importance, dependence, slices, calibration, embeddings."""
