"""One question answered: the question, its answer on streamed and pipelined machines, money, notes."""
