from flask import current_app
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Reservation(Base):
    __tablename__ = "reservations"
    order: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[str]


class Charge(Base):
    __tablename__ = "charges"
    order: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Shipment(Base):
    __tablename__ = "shipments"
    order: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str]


def init_app(app):
    app.extensions["engine"] = create_engine(app.config["DATABASE"], pool_pre_ping=True)


def session():
    return Session(current_app.extensions["engine"])
