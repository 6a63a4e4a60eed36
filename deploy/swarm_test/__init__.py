"""`make stack-test`: the real stack on a real three-node Swarm, broken in every way we promise."""
