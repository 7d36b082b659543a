"""Synthdoc's texts: random names, dates, amounts and codes, and the questions that ask for them."""

import math
from collections.abc import Callable

from saccade.datasets._synthdoc_language import Writer


def word(r: Writer, low: int = 2, high: int = 3) -> str:
    """A pronounceable word of `low` to `high` random syllables, or as long a one of the writer's lists; capitalised."""
    listed = r.listed(2 * low, 4 * high)
    if listed:
        return listed.capitalize()
    syllables = (
        r.choice("bcdfghjklmnprstvwz") + r.choice("aeiou") + r.choice(("", "", "", "n", "r", "s", "l", "t", "x", "ck"))
        for _ in range(r.randint(low, high))
    )
    text = "".join(syllables)
    for rude in ("fuck", "shit", "cunt", "nigg"):
        text = text.replace(rude, rude[0] + "a" + rude[2:])
    return text.capitalize()


def digits(r: Writer, n: int) -> str:
    return str(r.randint(10 ** (n - 1), 10**n - 1))


def name(r: Writer) -> str:
    middle = r.choice(("", "", "", f"{r.choice('ABCDEFGHJKLMNPRSTW')}. "))
    return f"{word(r, 2, 2)} {middle}{word(r)}"


def company(r: Writer) -> str:
    tail = r.choice(("Ltd", "Inc", "Trading", "Group", "& Sons", "GmbH", "Stores", "Foods", "Supplies", "Partners"))
    return f"{word(r)} {tail}"


def date(r: Writer) -> str:
    day, month, year = r.randint(1, 28), r.randint(1, 12), r.randint(1990, 2030)
    name = ("January February March April May June July August September October November December").split()[month - 1]
    return r.choice(
        (
            f"{day:02}/{month:02}/{year}",
            f"{year}-{month:02}-{day:02}",
            f"{day} {name[:3]} {year}",
            f"{day}.{month}.{year}",
        )
        + (f"{name} {day}, {year}", f"{day:02}/{month:02}/{year % 100:02}")
    )


def money(r: Writer) -> str:
    value = round(math.exp(r.uniform(1, 9.5)), 2)
    return r.choice(("", "", "$", "$", "USD ", "EUR ")) + f"{value:{r.choice((',', ''))}.2f}"


def price(r: Writer) -> str:
    return f"{math.exp(r.uniform(0, 6)):.2f}"


def code(r: Writer) -> str:
    letters = "".join(r.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(r.randint(1, 3)))
    return r.choice(
        (
            f"{letters}-{digits(r, r.randint(3, 5))}",
            f"{letters}{digits(r, r.randint(3, 6))}",
            digits(r, r.randint(4, 8)),
        )
        + (f"{digits(r, r.randint(2, 3))}/{digits(r, r.randint(3, 4))}", f"{digits(r, 3)}-{letters}")
    )


def phone(r: Writer) -> str:
    return r.choice(
        (f"({digits(r, 3)}) {digits(r, 3)}-{digits(r, 4)}", f"+{digits(r, 2)} {digits(r, 3)} {digits(r, 5)}")
    )


def address(r: Writer) -> str:
    return f"{r.randint(1, 299)} {word(r)} {r.choice(('Street', 'Road', 'Avenue', 'Lane', 'Drive', 'Square'))}"


def email(r: Writer) -> str:
    return f"{word(r)}@{word(r)}.{r.choice(('com', 'org', 'net'))}".lower()


def words(r: Writer) -> str:
    return " ".join([word(r), *(word(r).lower() for _ in range(r.randint(0, 2)))])


def count(r: Writer) -> str:
    return str(r.randint(1, r.choice((20, 500))))


def percent(r: Writer) -> str:
    return f"{r.choice((str(r.randint(1, 99)), f'{r.uniform(0, 30):.1f}'))}%"


def weight(r: Writer) -> str:
    return f"{r.uniform(0.2, 99):.1f} kg"


# what a question calls it: (how a page may print it, what its value looks like)
PAIRS: dict[str, tuple[tuple[str, ...], Callable[[Writer], str]]] = {
    "invoice number": (("Invoice number", "Invoice No.", "Invoice #"), code),
    "order number": (("Order number", "Order No.", "Order #"), code),
    "account number": (("Account number", "Account No.", "Account"), code),
    "customer number": (("Customer number", "Customer No.", "Customer ID"), code),
    "reference": (("Reference", "Ref.", "Our ref."), code),
    "policy number": (("Policy number", "Policy No."), code),
    "serial number": (("Serial number", "Serial No.", "S/N"), code),
    "tax number": (("Tax number", "Tax No.", "Tax ID"), code),
    "project code": (("Project code", "Project"), code),
    "room": (("Room", "Room No."), code),
    "postal code": (("Postal code", "Zip code", "Postcode"), code),
    "date": (("Date",), date),
    "due date": (("Due date", "Payment due"), date),
    "delivery date": (("Delivery date", "Delivered on"), date),
    "date of birth": (("Date of birth", "Birth date"), date),
    "start date": (("Start date", "Valid from"), date),
    "expiry date": (("Expiry date", "Valid until"), date),
    "name": (("Name", "Full name"), name),
    "contact": (("Contact", "Contact person"), name),
    "manager": (("Manager",), name),
    "cashier": (("Cashier", "Served by"), name),
    "applicant": (("Applicant",), name),
    "supplier": (("Supplier", "Vendor"), company),
    "employer": (("Employer",), company),
    "bank": (("Bank", "Bank name"), company),
    "address": (("Address",), address),
    "billing address": (("Billing address", "Bill to"), address),
    "delivery address": (("Delivery address", "Ship to"), address),
    "phone number": (("Phone number", "Phone", "Tel."), phone),
    "fax number": (("Fax number", "Fax"), phone),
    "email": (("Email", "E-mail"), email),
    "city": (("City", "Town"), word),
    "country": (("Country",), word),
    "department": (("Department", "Dept."), word),
    "occupation": (("Occupation", "Position"), words),
    "subject": (("Subject", "Re"), words),
    "purpose": (("Purpose", "Reason"), words),
    "total amount": (("Total", "Total amount", "Amount due"), money),
    "subtotal": (("Subtotal", "Sub-total"), money),
    "tax": (("Tax", "VAT", "Sales tax"), money),
    "discount": (("Discount",), money),
    "shipping cost": (("Shipping", "Shipping cost"), money),
    "cash": (("Cash", "Cash paid"), money),
    "change": (("Change", "Change due"), money),
    "balance": (("Balance", "New balance"), money),
    "budget": (("Budget",), money),
    "interest rate": (("Interest rate", "Rate"), percent),
    "gross weight": (("Gross weight",), weight),
    "number of pages": (("Number of pages", "Pages"), count),
    "age": (("Age",), count),
}
COLUMNS: dict[str, Callable[[Writer], str]] = {
    "Quantity": count, "Price": price, "Amount": price, "Code": code, "Weight": weight, "Share": percent,
    "Unit": word, "Owner": word, "Stock": count, "Cost": price,
}  # fmt: skip
ASK = ("What is the {}?", "What is the {}?", "What is the {}?", "{}?", "what is the {}", "Which {} is given?")
ASK_COMPANY = ("What is the name of the company?", "What is the company?", "Company name?")
ASK_CELL = ("What is the {0} of {1}?", "What is the {0} of {1}?", "{0} of {1}?", "{1}: {0}?")

# ISO 4217 codes and what tills print for them
CURRENCIES = (
    "$", "$", "USD", "EUR", "GBP", "CHF", "Fr.", "SEK", "kr", "NOK", "DKK", "PLN", "zl", "CZK", "Kc", "HUF", "Ft",
    "TRY", "INR", "Rs.", "MYR", "RM", "SGD", "S$", "IDR", "Rp", "PHP", "THB", "VND", "HKD", "HK$", "CNY", "JPY", "KRW",
    "AUD", "A$", "NZD", "CAD", "C$", "MXN", "BRL", "R$", "ARS", "CLP", "COP", "ZAR", "KES", "KSh", "NGN", "AED", "SAR",
    "ILS",
)  # fmt: skip
WARES = (
    "Tea", "Coffee", "Bread", "Milk", "Rice", "Sugar", "Salt", "Eggs", "Soap", "Paper", "Battery", "Lamp", "Cable",
    "Pen", "Tape", "Glue", "Paint", "Brush", "Nails", "Rope", "Shirt", "Shoes", "Socks", "Cheese", "Butter", "Apples",
    "Juice", "Water", "Beer", "Wine", "Chicken", "Beef", "Fish", "Noodles", "Soup", "Salad", "Pizza", "Burger", "Fries",
    "Cake",
    "Cookies", "Chips", "Candy", "Toy", "Book", "Card", "Envelope", "Stamps", "Diesel", "Petrol", "Parking", "Service",
)  # fmt: skip
QUALITIES = ("Large", "Small", "Fresh", "Hot", "Iced", "White", "Black", "Red", "Blue", "Green", "Set", "Box", "Pack",
             "500g", "1kg", "250ml", "1L", "A4", "No.2", "12pcs", "x6", "Special", "Classic", "Mini")  # fmt: skip


def ware(r: Writer) -> str:
    """An article as a till names it."""
    parts = [r.choice((r.choice(QUALITIES), word(r))), r.choice(WARES), r.choice(("", "", r.choice(QUALITIES)))]
    return " ".join(part for part in parts if part)


def time(r: Writer) -> str:
    hour, minute = r.randint(0, 23), r.randint(0, 59)
    return r.choice((f"{hour:02}:{minute:02}", f"{hour:02}:{minute:02}:{r.randint(0, 59):02}",
                     f"{hour % 12 or 12}:{minute:02} {'AM' if hour < 12 else 'PM'}"))  # fmt: skip


TRADES = (
    "Restaurant", "Cafe", "Bakery", "Pharmacy", "Hardware", "Stationery", "Books", "Bookshop", "Machinery", "Motors",
    "Electrical", "Furniture", "Textiles", "Fashion", "Optics", "Florist", "Garage", "Hotel", "Clinic", "Mart",
    "Market", "Supermarket", "Mini Market", "Grocery", "Butchers", "Seafood", "Kitchen", "Grill", "Noodle House",
    "Tea House", "Bar", "Petrol Station", "Service Station", "Car Park", "Cinema", "Sports", "Toys", "Cosmetics",
    "Jewellers", "Printing", "Photo", "Computers", "Telecom", "Logistics", "Travel", "Enterprise", "Trading",
    "Holdings", "Industries", "Wholesale", "Retail", "Department Store", "Gift Shop", "Home Centre", "Paints", "Timber",
    "Steel", "Tools", "Spare Parts", "Tyres", "International", "Marketing", "Services", "Store", "Stores", "Group",
)  # fmt: skip
FORMS = (  # of companies, in the world's countries
    "Ltd", "Ltd.", "Limited", "LLC", "Inc.", "Inc", "Corp.", "Co.", "Co. Ltd", "Pty Ltd", "PLC", "LLP", "GmbH", "AG",
    "KG", "S.A.", "SARL", "S.r.l.", "S.p.A.", "B.V.", "N.V.", "AB", "A/S", "Oy", "Sp. z o.o.", "s.r.o.", "Kft.",
    "d.o.o.", "Lda", "Ltda", "S.A. de C.V.", "Pvt. Ltd.", "Pte Ltd", "K.K.", "& Co.", "& Sons", "Bros.", "(Pty) Ltd",
)  # fmt: skip
WAYS = ("Street", "Road", "Avenue", "Lane", "Drive", "Square", "St.", "Rd", "Ave", "Way", "Plaza", "Park", "Hill")
WAYS_BEFORE = ("Rue", "Via", "Calle", "Avenida", "Rua", "Rue de", "Plaza", "Largo", "Ul.", "Av.")
PARTS = ("Industrial Park", "Garden", "Centre", "Mall", "Tower", "Business Park", "Village", "Heights", "Estate")


def stem(r: Writer) -> str:
    """What is before the trade in a shop's name."""
    return r.choice(
        (
            word(r), word(r, 1, 2), f"{word(r)} {word(r)}", f"{word(r, 1, 2)} {word(r, 1, 2)}",
            f"{word(r, 1, 2)} {word(r, 1, 1)} {word(r, 1, 2)}", f"{word(r)} & {word(r)}", f"{word(r)}'s",
            f"The {word(r)}", "".join(r.choice("ABCDEFGHJKLMNPRSTVW") for _ in range(r.randint(2, 4))),
            f"{r.choice('ABCDEFGHJKLMNPRST')}.{r.choice('ABCDEFGHJKLMNPRST')}. {word(r)}", f"{digits(r, 2)} {word(r)}",
        )
    )  # fmt: skip


def shop(r: Writer) -> str:
    """The name of a shop or a company as its receipts print it, of one to seven words."""
    parts = [stem(r)]
    if r.random() < 0.65:
        parts += r.sample(TRADES, 1 if r.random() < 0.8 else 2)
    if r.random() < 0.1:
        parts.append(f"({r.choice((word(r), r.choice('ABCDEHKMNPST')))})")
    if r.random() < 0.4 or len(parts) == 1:
        parts.append(r.choice(FORMS))
    return " ".join(parts)


def place(r: Writer, root: str, *ways: tuple[int, int]) -> str:
    """A name of as many words as `ways` has (least and most syllables of each); one in three has `root` in it."""
    named = [word(r, *syllables) for syllables in ways]
    if r.random() < 0.3:
        named[r.randrange(len(named))] = root
    return " ".join(named)


def street(r: Writer, root: str) -> str:
    """The first line of an address; what else lies there may be named by the same root."""
    number = str(r.randint(1, 299))
    at = r.choice(
        (
            number, number, f"{number}{r.choice('ABCD')}", f"{number}-{digits(r, 2)}", f"{number} & {digits(r, 2)}",
            f"{r.choice('ABGKL')}{r.choice(('-', ''))}{number}",
        )
    )  # fmt: skip
    before = r.choice(("", "", "", "No. ", "No.", "No ", "Lot ", "Unit ", "Block ", "Shop ", "Suite "))
    named = r.choice((place(r, root, (2, 3)), place(r, root, (2, 3), (2, 3)), place(r, root, (1, 2), (1, 2))))
    block = f"{r.randint(1, 199)}{r.choice(('', '', 'A', 'B', 'C'))}"
    after = r.choice(("", "", f" {digits(r, 1)}", f" {digits(r, 1)}/{block}", f" {digits(r, 2)}/{digits(r, 1)}"))
    way = r.random()
    before_it = r.choice((*WAYS_BEFORE, word(r)))
    road = f"{named} {r.choice(WAYS)}" if way < 0.3 else f"{before_it} {named}" if way < 0.6 else named
    return f"{before}{at}{r.choice((',', '', ''))} {road}{after}"


def part(r: Writer, root: str) -> str:
    """A line of an address between its street and its town."""
    inside = f"{place(r, root, (2, 3))} {r.choice(PARTS)}"
    return r.choice(
        (
            inside,
            place(r, root, (2, 3), (2, 3)),
            place(r, root, (1, 2), (1, 2), (2, 3)),
            f"{place(r, root, (2, 3))}, {place(r, root, (1, 2), (2, 3))}",
            f"Level {r.randint(1, 9)}, {inside}",
            street(r, root),
        )
    )


def town(r: Writer, root: str) -> str:
    """The last line of an address."""
    named = r.choice((place(r, root, (2, 3)), place(r, root, (2, 3), (2, 3))))
    return r.choice(
        (
            f"{digits(r, 5)} {named}", f"{digits(r, 5)} {named}, {word(r)}", f"{named} {digits(r, 4)}",
            f"{named}, {word(r)}, {digits(r, 6)}", f"{named}, {digits(r, 5)} {word(r)}", f"{word(r)} {named}",
        )
    )  # fmt: skip


def day_of_sale(r: Writer) -> str:
    """A date as tills print it."""
    day, month, year = r.randint(1, 31), r.randint(1, 12), r.randint(1995, 2030)
    mark, short = r.choice("/-./-"), r.random() < 0.3
    years = f"{year % 100:02}" if short else str(year)
    named = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[month - 1]
    named = named.upper() if r.random() < 0.5 else named
    return r.choice(
        (
            date(r), f"{day:02}{mark}{month:02}{mark}{years}", f"{day:02}{mark}{month:02}{mark}{years}",
            f"{month:02}{mark}{day:02}{mark}{years}", f"{year}{mark}{month:02}{mark}{day:02}",
            f"{day}{mark}{month}{mark}{years}", f"{day:02} {named} {years}", f"{day:02}-{named}-{years}",
        )
    )  # fmt: skip
