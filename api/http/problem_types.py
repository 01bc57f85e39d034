"""The types of the API's problems: a stable URI, a status and a title each (RFC 9457).

Clients may rely on the type; titles and details are for people and may change.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "urn:celery-orchestrator:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One type of problem. `type` is its URI; `retry_after` in seconds becomes a header."""

    slug: str
    status: int
    title: str
    retry_after: int | None = None

    @property
    def type(self) -> str:
        """The stable URI of this type of problem."""
        return PREFIX + self.slug


MALFORMED = ProblemType("malformed-request", 400, "The request cannot be read")
MALFORMED_JSON = ProblemType("malformed-json", 400, "The body is not JSON that can be read")
INVALID_EVENT = ProblemType("invalid-event", 400, "The event is not a CloudEvent")
MALFORMED_DOCUMENT = ProblemType("malformed-document", 400, "The document cannot be read")
INVALID_QUERY = ProblemType("invalid-query", 400, "A parameter of the query is wrong")
INVALID_ID = ProblemType("invalid-id", 400, "This is not an id")
INVALID_KEY = ProblemType("invalid-idempotency-key", 400, "The Idempotency-Key is wrong")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "A valid API key is required")
FORBIDDEN = ProblemType("forbidden", 403, "The API key's role does not allow this")
NOT_FOUND = ProblemType("not-found", 404, "There is no such thing here")
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed", 405, "The resource does not have this method"
)
NOT_ACCEPTABLE = ProblemType("not-acceptable", 406, "The resource has no such representation")
TIMEOUT = ProblemType("request-timeout", 408, "The request took too long to arrive")
CONFLICT = ProblemType("conflict", 409, "The request does not fit the present state")
WRONG_STATUS = ProblemType("wrong-status", 409, "The instance's status does not allow this")
VERSION_EXISTS = ProblemType("version-exists", 409, "This version has another document already")
IN_USE = ProblemType("in-use", 409, "It is still in use")
BUSINESS_ID = ProblemType("business-id-in-use", 409, "The business_id is taken")
NO_SECRETS_KEY = ProblemType("no-secrets-key", 409, "No key to encrypt secrets with is set")
IN_FLIGHT = ProblemType("idempotency-in-flight", 409, "The same request is being answered", 1)
PRECONDITION = ProblemType("precondition-failed", 412, "It has changed meanwhile")
TOO_LARGE = ProblemType("too-large", 413, "The request is larger than is allowed")
URI_TOO_LONG = ProblemType("uri-too-long", 414, "The address is longer than is allowed")
MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "The body's media type is not accepted")
INVALID = ProblemType("invalid-request", 422, "The body does not fit its schema")
INVALID_DOCUMENT = ProblemType("invalid-document", 422, "The document is not a valid workflow")
INVALID_INPUT = ProblemType("invalid-input", 422, "The input does not fit the workflow's schema")
KEY_REUSED = ProblemType(
    "idempotency-key-reused", 422, "The Idempotency-Key belongs to another request"
)
TOO_MANY = ProblemType("too-many-requests", 429, "Too many requests", 1)
HEADERS_TOO_LARGE = ProblemType("headers-too-large", 431, "The headers are larger than is allowed")
INTERNAL = ProblemType("internal-error", 500, "The orchestrator failed")
NOT_IMPLEMENTED = ProblemType("not-implemented", 501, "The server does not support this")
NO_EVALUATOR = ProblemType(
    "evaluator-unavailable", 503, "Expressions cannot be checked; try again", 1
)
UNAVAILABLE = ProblemType("unavailable", 503, "The database cannot be reached; try again", 1)

#: The problem type of an HTTP error that has no more exact one.
BY_STATUS: dict[int, ProblemType] = {
    kind.status: kind
    for kind in (
        MALFORMED, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, NOT_ACCEPTABLE,
        TIMEOUT, CONFLICT, PRECONDITION, TOO_LARGE, URI_TOO_LONG, MEDIA_TYPE, INVALID, TOO_MANY,
        HEADERS_TOO_LARGE, INTERNAL, NOT_IMPLEMENTED, UNAVAILABLE,
    )
}  # fmt: skip
