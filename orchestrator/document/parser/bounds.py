"""How large a document may be. Every bound is checked before the work that it bounds."""

MAX_BYTES = 1024 * 1024

#: Mappings and lists within each other. Fifty `fork`s in each other need 204; encoders of
#: JSON end at 254, and answers wrap the document in a few more.
MAX_DEPTH = 240

#: Values and keys, those that aliases repeat counted each time.
MAX_NODES = 200_000

#: Characters of texts and numbers, those that aliases repeat counted each time: what the
#: document grows to when it is written out.
MAX_CHARACTERS = 2 * MAX_BYTES

#: Of an integer. Python's own bound for turning text into numbers and back.
MAX_DIGITS = 4300
