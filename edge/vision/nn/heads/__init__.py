"""What a network's outputs mean, one file a family of exports."""
