"""A control chart as a browser draws it."""

import pytest

from brat.figures.drift import control_chart
from brat.store.drift import Chart, Month, Share


@pytest.mark.parametrize("value", [0.0, 0.004, 0.03, 0.2, 1.0])
def test_no_two_ticks_have_one_name(open_page, value):
    chart = Chart("refused", Share(0.004, 500), (Month("2026-11", 5, value, None),))
    page = open_page("about:blank")
    page.set_content(control_chart(chart).to_html())
    # What is asked for is what is drawn, not whether the page has been painted yet.
    page.wait_for_function("document.querySelectorAll('.ytick').length > 0", polling=100)
    names = page.locator(".ytick").all_text_contents()
    assert len(names) > 2
    assert len(set(names)) == len(names), names
