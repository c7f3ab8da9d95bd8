"""What the lessons share: data, norms, networks, training, figures and the command line."""
