"""A FastAPI application: the asynchronous client, a workflow in code and a canvas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from celery import chord
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from shop_tasks import bundle, label
from shop_workflows import order

from orchestrator.canvas import durable
from orchestrator.client import ApiError, AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncClient() as client:
        await order.deploy(client)
        app.state.workflows = client
        yield


app = FastAPI(lifespan=lifespan)


class Order(BaseModel):
    item: str
    quantity: int = 1
    card: str
    discount: int | None = None


def workflows(request: Request) -> AsyncClient:
    client: AsyncClient = request.app.state.workflows
    return client


@app.post("/orders/{id}", status_code=202)
async def place(id: str, body: Order, request: Request) -> dict[str, Any]:
    try:
        run = await workflows(request).start(
            order.name, body.model_dump(), business_id=id, idempotency_key=f"order-{id}", wait=30
        )
    except ApiError as error:
        raise HTTPException(error.status, error.problem) from error
    return {"id": run.id, "status": run.status, "output": run.output, "undone": run.compensation}


@app.get("/orders/{id}/steps")
async def steps(id: str, request: Request) -> list[str]:
    found = workflows(request).api.list_instance_steps(id)
    return [step["name"] async for step in found]


@app.get("/orders/{id}/progress")
async def progress(id: str, request: Request) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        async for entry in workflows(request).watch(id):
            yield f"{entry['sequence']}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.post("/boxes/{box}")
def pack(box: str, items: list[str]) -> dict[str, Any]:
    canvas = chord([label.s(item) for item in items], bundle.s(box))
    result = durable(canvas).start(labels={"box": box})
    return {"id": result.id, "result": result.get(timeout=30)}
