"""Publishing: packages handed to servers, up to the last step, which a person takes."""
