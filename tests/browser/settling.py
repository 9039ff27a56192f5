"""Until a page stands still."""

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
