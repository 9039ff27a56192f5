"""Until a page stands still, and what only then can be used."""

_SETTLED = """async quiet => {
  const begun = performance.now();
  let changed = begun;
  const watch = new MutationObserver(() => { changed = performance.now(); });
  watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  const isMoving = () => document.getAnimations().some(animation =>
    animation.playState === "running" && animation.effect.getComputedTiming().endTime !== Infinity);
  const isRunning = () => !document.querySelector("[data-test-script-state=notRunning]");
  while (performance.now() - changed < quiet || isMoving() || isRunning()) {
    if (performance.now() - begun > 30_000) throw new Error("the page does not stand still");
    await new Promise(due => setTimeout(due, 20));
  }
  watch.disconnect();
}"""


def settle(page, quiet: int = 400) -> None:
    """Wait until the script has run, nothing fades, and nothing has changed for `quiet` milliseconds."""
    page.evaluate(_SETTLED, quiet)


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
