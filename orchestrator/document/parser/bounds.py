"""Bounds of a document. Each is checked before the work that it limits."""

MAX_BYTES = 1024 * 1024

#: Nested mappings and lists. Fifty nested `fork`s need 204. JSON encoders stop at 254, and API
#: responses wrap the document in a few more levels.
MAX_DEPTH = 240

#: Values and keys, counting those that aliases repeat.
MAX_NODES = 200_000

#: Characters of texts and numbers, counting those that aliases repeat: the size of the document
#: when it is written out.
MAX_CHARACTERS = 2 * MAX_BYTES

#: Digits of an integer. It is Python's own bound for the conversion between text and numbers.
MAX_DIGITS = 4300
