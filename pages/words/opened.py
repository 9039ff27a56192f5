"""Words of what happens when a file is opened."""


def not_read(name: str, why: str) -> str:
    return f"**{name}** was not read. {why}"
