"""One file for each training method; a file's name is the method's name."""
