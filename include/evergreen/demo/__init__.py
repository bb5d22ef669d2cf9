"""The generated stream and its dirt."""
