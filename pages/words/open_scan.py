"""Words of what happens when something is opened."""


def not_read(name: str, why: str) -> str:
    return f"**{name}** was not read. {why}"


def slice_number(number: int) -> str:
    return f"Slice {number}"
