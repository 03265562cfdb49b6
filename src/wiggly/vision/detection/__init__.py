"""Detection: boxes around things, each with a label and a score, by torchvision's detectors."""
