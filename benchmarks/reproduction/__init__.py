"""The paper's quality tables measured again, on the public data and the official weights."""
