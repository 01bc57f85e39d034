"""The shop's workflow, in code."""

from __future__ import annotations

from datetime import timedelta

from shop_tasks import charge, release, reserve

from orchestrator.dsl import Workflow, call, case, input, result, set_, switch

reserved = call(reserve, item=input.item, quantity=input.quantity).named("reserve")

order = Workflow("stock/fastapi-order", "1.0.0").do(
    reserved.compensate(release, reservation=result.id),
    switch(free=case(result.price == 0, "summary")),
    call(charge, amount=result.price - input.discount.or_else(0), card=input.card).timeout(
        timedelta(minutes=1)
    ),
    summary=set_(reservation=reserved.result.id, paid=result.amount.or_else(0)),
)
