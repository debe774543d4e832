"""How much, in which currency? Amounts are kept in the smallest unit (ISO 4217): 49 USD are 4900, 49 JPY are 49."""

from __future__ import annotations

from decimal import Decimal

from babel import Locale
from babel.numbers import get_currency_precision

from challenge.errors import BadInput

_LONGEST_AMOUNT = 10**12
_CURRENCIES = frozenset(Locale("en").currencies)


def read_price(amount: object, currency: str) -> tuple[int, str]:
    """(smallest units, code) of what was typed or sent; nothing typed is (0, ""). Raises BadInput."""
    if amount is None or amount == "":
        return 0, ""
    currency = currency.strip().upper()
    if currency not in _CURRENCIES:
        raise BadInput("currency", "currency must be a code of ISO 4217, like USD, together with an amount.")
    try:
        units = Decimal(str(amount).strip()) * 10 ** get_currency_precision(currency)
    except ArithmeticError:  # no number, or one beyond every exponent
        units = Decimal("NaN")
    if isinstance(amount, bool) or not units.is_finite() or units != units.to_integral_value():
        raise BadInput("amount", f"amount must be a number of {currency}, like 49.00.")
    if not 0 <= units < _LONGEST_AMOUNT:
        raise BadInput("amount", "amount must not be negative, nor that large.")
    return int(units), currency


def main_units(amount: float, currency: str) -> float:
    """4900 of USD are 49.0, 49 of JPY are 49.0."""
    return amount / 10.0 ** int(get_currency_precision(currency))


def grouped(amount: float, currency: str) -> str:
    """`1,234.50` of 123450 USD; yen have no places."""
    return f"{main_units(amount, currency):,.{get_currency_precision(currency)}f}"


def written(amount: int, currency: str) -> str:
    """`49.00 USD`, `49 JPY`; empty for no amount."""
    return f"{grouped(amount, currency)} {currency}" if amount else ""
