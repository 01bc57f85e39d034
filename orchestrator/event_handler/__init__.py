"""The Event Handler: CloudEvents in, matched and correlated with who waits for them; lifecycle
events and deliveries out.

Theory of operation. An event is a row before it is acknowledged. Who waits for one is a row
too: a listener (an open step), an event-driven schedule, a subscription. Each side commits
its own row first and only then sends a hint, so that whoever looks afterwards sees both. What
is looked at is the same in either case: `matching` takes the lock of a namespace, gives the
listeners that are new the events that came before them, then gives the events that are new to
all who wait, in the order of their receipt, and writes down which listener was offered what,
once each. Expressions are evaluated here, in control workers, never in the API. What a listener
is offered becomes a stimulus of its instance; an offer that the instance turns down is free for
others. The beats find what nobody matched, because its hint was lost or its matcher died.
"""
