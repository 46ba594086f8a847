"""`uptake customers`: whom this deployment serves, and a first customers file."""

from typing import Annotated

import typer

from app.commands import options
from app.commands.options import make_settings
from app.customers import Customers, create_customers_file


def customers(
    customers_file: options.CustomersFile = None,
    create: Annotated[
        str | None,
        typer.Option(
            "--create", metavar="ID", help="write the file, mode 600, with this customer, unless it is there"
        ),
    ] = None,
) -> None:
    """Show whom this deployment serves, or write a first customers file with fresh keys.

    Example: uptake customers --create 00000
    """
    path = make_settings(customers_file=customers_file).customers_file
    if create is not None and not path.exists():
        create_customers_file(path, create)
        typer.echo(f"wrote {path}; keep it: with its keys every pseudonym would change")
    for customer in Customers.load(path):
        typer.echo(customer)
