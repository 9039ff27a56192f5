"""Changes of a picture: enhancement for people, and small changes that show how steady an answer is."""
