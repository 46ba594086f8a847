"""`uptake customers`: show the customers of this deployment, add customers, and rotate keys."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.base.errors import UptakeError
from app.commands import options
from app.commands.options import make_settings
from app.customers.customer import Customer
from app.customers.customer_edit import KeyName, add_customer, end_rotation, rotate_key
from app.customers.customer_registry import Customers, create_customers_file

_WIDTH = 150  # of the table if the output is not a terminal

customers = typer.Typer(
    help="Show the customers of this deployment, add customers, and rotate keys.\n\nExample: uptake customers --create 00000",
    invoke_without_command=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="the customer's id, as in the paths of its events")]


@customers.callback()
def show(
    context: typer.Context,
    customers_file: options.CustomersFile = None,
    create: Annotated[
        str | None,
        typer.Option(
            "--create",
            metavar="ID",
            help="write the file (mode 600) with this customer, unless the file exists",
        ),
    ] = None,
) -> None:
    """Show the customers of this deployment, add customers, and rotate keys.

    Example: uptake customers --create 00000
    """
    context.obj = customers_file
    if context.invoked_subcommand is not None:
        return
    path = _path(context, None)
    if create is not None and not path.exists():
        create_customers_file(path, create)
        typer.echo(f"wrote {path}; keep a copy of it: if its keys are lost, every pseudonym changes")
    for customer in Customers.load(path):
        typer.echo(customer)


@customers.command("list")
def list_customers(
    context: typer.Context, customers_file: options.CustomersFile = None, as_json: options.AsJson = False
) -> None:
    """Show every customer and its settings. Keys are not shown.

    Example: uptake customers list
    """
    found = [_facts(customer) for customer in Customers.load(_path(context, customers_file)).values()]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(box=None, header_style="bold")
    for name in found[0]:
        table.add_column(name.replace("_", " "))
    for facts in found:
        table.add_row(*(_word(value) for value in facts.values()))
    console.print(table)


@customers.command()
def add(context: typer.Context, customer: Id, customers_file: options.CustomersFile = None) -> None:
    """Add a customer with fresh keys. Print, once, the keys that its site and its recommender need.

    Running processes serve the new customer within seconds.

    Example: uptake customers add shop
    """
    path = _path(context, customers_file)
    added = add_customer(path, customer)
    _print_new({"license_key": added.rules.license_key, "api_key": added.api_key})
    typer.echo(f"customer {customer} is in {path}; keep a copy of that file", err=True)


@customers.command("rotate-key")
def rotate(
    context: typer.Context,
    customer: Id,
    license_key: Annotated[
        bool,
        typer.Option("--license-key", help="the key that signs imports and is the password of HTTP Basic"),
    ] = False,
    api_key: Annotated[bool, typer.Option("--api-key", help="the key that lookups send")] = False,
    pseudonym_key: Annotated[
        bool,
        typer.Option(
            "--pseudonym-key", help="the key that makes pseudonyms; the old one is kept as previous"
        ),
    ] = False,
    drop_previous: Annotated[
        bool,
        typer.Option("--drop-previous", help="forget the previous pseudonym key; this ends its rotation"),
    ] = False,
    customers_file: options.CustomersFile = None,
) -> None:
    """Replace one key of a customer, and print the new key once. Choose exactly one option.

    Processes refuse an old license or API key within seconds.
    While a pseudonym key rotates, the data of a user moves to the new pseudonym with the user's next event.

    Example: uptake customers rotate-key shop --license-key
    """
    path = _path(context, customers_file)
    chosen: dict[KeyName, bool] = {
        "license_key": license_key,
        "api_key": api_key,
        "pseudonym_key": pseudonym_key,
    }
    keys = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(keys) + drop_previous != 1:
        raise UptakeError("give exactly one of --license-key, --api-key, --pseudonym-key and --drop-previous")
    if drop_previous:
        end_rotation(path, customer)
        typer.echo(f"customer {customer} has no previous pseudonym key any more", err=True)
        return
    _print_new(rotate_key(path, customer, keys[0]))
    typer.echo(f"customer {customer} has a new {keys[0]} in {path}; keep a copy of that file", err=True)


def _path(context: typer.Context, customers_file: Path | None) -> Path:
    """Return the path given after the subcommand, else the one given before it, else the one of the environment."""
    source = context.get_parameter_source("customers_file")
    is_said = source is not None and source.name == "COMMANDLINE"
    return make_settings(customers_file=customers_file if is_said else context.obj).customers_file


def _print_new(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if not name.startswith("previous"):
            typer.echo(f"{name} = {value}")


def _facts(customer: Customer) -> dict[str, Any]:
    """Return the facts of a customer that are safe to show: no key."""
    rules, limit = customer.rules, customer.rate_limit
    return {
        "customer": customer.id,
        "key_id": rules.key_id,
        "previous_key_id": rules.previous_key_id,
        "license_key": rules.license_key is not None,
        "api_key": customer.api_key is not None,
        "credentials": customer.require_credentials,
        "md5": rules.md5_signatures,
        "events_per_second": None if limit is None else limit.events_per_second,
        "time_zone": str(rules.time_zone),
        "max_itemtype": rules.max_itemtype,
    }


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
