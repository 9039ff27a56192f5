"""Numbers as people read them."""


def percent(share: float) -> str:
    """0.914 -> "91 %"; what would round to all or nothing is written as "> 99 %" or "< 1 %"."""
    if 0.995 <= share < 1:
        return "> 99 %"
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{share:.0%}".replace("%", " %")
