"""Legacy Keras `.h5` classifiers, rebuilt layer by layer; nothing of what they say is run."""
