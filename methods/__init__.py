"""The training methods, one file each. The name of a file is the name of the method."""
