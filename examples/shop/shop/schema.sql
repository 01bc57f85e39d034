create schema if not exists shop;

create table if not exists shop.stock (
    item text primary key,
    quantity integer not null check (quantity >= 0),
    price integer not null  -- cents
);

create table if not exists shop.cards (
    number text primary key,
    credit integer not null  -- cents
);

create table if not exists shop.reservations (
    key text primary key,
    order_id text not null,
    item text not null references shop.stock,
    quantity integer not null,
    released boolean not null default false
);

create table if not exists shop.charges (
    id integer generated always as identity primary key,
    key text not null unique,
    order_id text not null,
    part text not null,
    card text not null references shop.cards,
    amount integer not null
);

create table if not exists shop.refunds (
    id integer generated always as identity primary key,
    key text not null unique,
    charge_id integer not null unique references shop.charges,
    amount integer not null
);

-- Every start of a task, whatever its result.
create table if not exists shop.starts (
    id integer generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    task text not null,
    key text not null,
    order_id text not null,
    worker integer not null  -- process id of the worker's main process
);

-- Only `shop.sabotage` writes here.
create table if not exists shop.kills (
    task text primary key,
    key text not null,
    at timestamptz not null default clock_timestamp(),
    worker integer not null,
    child integer not null
);

insert into shop.stock (item, quantity, price) values ('lamp', 10, 5000), ('desk', 3, 24000)
    on conflict do nothing;
insert into shop.cards (number, credit) values ('gold', 1000000), ('nearly-empty', 5000)
    on conflict do nothing;
