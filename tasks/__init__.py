"""What is asked, in which language, and how the answers are scored."""
