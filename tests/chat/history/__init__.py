"""The history checker: many clients write down what they saw while servers are killed around them.

`people` makes who talks, `stack` the real servers, `client` one device that keeps to the protocol,
`crowd` all of them at once, `faults` what goes wrong and when, `play` a whole run, and `checker`
says what must not have happened. `lossy_layer`, `without_idempotency` and `without_lock` are
servers that are broken on purpose: the first must pass nevertheless, the others must not.
"""
