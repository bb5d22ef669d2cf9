"""A model folder proposed from data: what the files hold, what they cannot say, and the text of the folder."""
