"""What a trained model can do: cross-entropy on held-out windows and accuracy on minimal pairs (BLiMP format)."""
