"""The models there are: entries, where their files come from, and how they are checked."""
