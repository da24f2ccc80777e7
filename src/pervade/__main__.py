"""`python -m pervade`, and by several processes `torchrun --nproc-per-node 2 -m pervade`."""

from pervade.cli import run

if __name__ == "__main__":  # a worker that Python starts anew imports this, and is not asked anything
    run()
