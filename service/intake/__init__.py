"""The door's use case: verify, read, write once durably, answer.

`door` tells the whole story of one delivery; `group` lets deliveries that wait together
travel together; `writing` knows the two stores; `capture` keeps what was refused;
`limiting` bounds how often a source may be refused; `readiness` says whether one durable
write is possible. May import floors 0 to 4.
"""
