"""The faces of unifmir: the commands and what they print. No logic of their own."""
