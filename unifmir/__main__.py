"""`python -m unifmir` is the `unifmir` command."""

from unifmir.cli.main import run

if __name__ == "__main__":
    run()
