"""What the three lessons share: data, norms, networks, training, figures and the command line."""
