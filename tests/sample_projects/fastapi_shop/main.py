"""A web application that has no Celery workers of its own: it starts orders by the API."""

from functools import cache

from fastapi import FastAPI
from orchestrator.client import Client
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    amount: int
    address: str


@cache
def workflows() -> Client:
    return Client()


@app.post("/orders/{id}")
def place(id: str, order: Order):
    run = workflows().start(
        "stock/order", {"order": id, **order.model_dump()}, idempotency_key=f"order-{id}", wait=60
    )
    return {"workflow": run.id, "status": run.status, "output": run.output}
