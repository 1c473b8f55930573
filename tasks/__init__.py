"""What a model is asked, in which language, and how its answers are scored."""
