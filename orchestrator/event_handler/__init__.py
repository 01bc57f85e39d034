"""The Event Handler: matches and correlates received CloudEvents with listeners, schedules and
subscriptions; publishes lifecycle events and sends webhooks.

Theory of operation. An event is a row before it is acknowledged. Everything that waits for events
is a row too: a listener (an open step), an event-driven schedule, a subscription. Each side commits
its own row and then sends a hint, so that the process that handles the hint sees both. `match_loop`
takes the lock of a namespace. It offers earlier events to new listeners, then new events to all
that wait, in the order of their receipt, and stores each offer once. Control workers evaluate the
expressions, never the API. An offer becomes a stimulus of the listener's instance; if the instance
refuses it, the event is free for other listeners. The beats send hints again for unmatched events,
whose hint was lost or whose matching process died.
"""
