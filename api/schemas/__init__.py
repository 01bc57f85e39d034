"""What the API takes and gives, as marshmallow schemas: the source of its description.

Bodies of requests are checked by the JSON Schema that these become (see `api.http.request_body`).
"""
