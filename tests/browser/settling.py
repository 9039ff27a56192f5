"""Until a page stands still, and what only then can be used."""

from collections.abc import Callable
from functools import wraps

_SETTLED = """async ([quiet, limit]) => {
  const begun = performance.now();
  let changed = begun;
  const watch = new MutationObserver(() => { changed = performance.now(); });
  watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  const isMoving = () => document.getAnimations().some(animation =>
    animation.playState === "running" && animation.effect.getComputedTiming().endTime !== Infinity);
  // A page that is not the app's runs no script.
  const isRunning = () =>
    document.querySelector("[data-test-script-state]:not([data-test-script-state=notRunning])");
  while (performance.now() - changed < quiet || isMoving() || isRunning()) {
    if (performance.now() - begun > limit) return false;
    await new Promise(due => setTimeout(due, 20));
  }
  watch.disconnect();
  return true;
}"""


def settle(page, quiet: int = 400) -> None:
    """Wait until the script has run, nothing fades, and nothing has changed for `quiet` milliseconds."""
    # Of a page that is about to be the app's nothing has changed, either.
    page.locator("[data-test-script-state]").first.wait_for(state="attached")
    assert page.evaluate(_SETTLED, [quiet, 30_000]), "the page does not stand still"


def patiently(act: Callable) -> Callable:
    """A method of Playwright's `Locator` that waits until the page stands still, as a person's hand does.

    A button that is drawn again between press and release gets no click. Playwright waits for the place of
    the button alone. A page that changes all the time, as beside a bar of progress, is clicked after 5 s.
    """

    @wraps(act)
    def acts(locator, *args, **options):
        locator.wait_for(timeout=options.get("timeout"))
        locator.page.evaluate(_SETTLED, [200, 5_000])
        return act(locator, *args, **options)

    return acts


def open_options(page, name: str):
    """Open a select box, and return its options.

    A click that meets the box while the page is drawn again may open nothing: a person clicks again.
    """
    options = page.get_by_role("option")
    for _ in range(5):
        settle(page)
        if options.count() == 0:
            page.get_by_role("combobox", name=name).click()
            page.wait_for_timeout(1_000)
        if options.count() > 0:
            return options
    raise AssertionError(f"the select box {name} does not open")
