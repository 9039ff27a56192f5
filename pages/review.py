"""Review: one scan, its reading, and where in the scan the reading comes from."""

import streamlit as st

from brat.io.scan import Scan
from brat.model.reader import Reading
from pages import arrivals
from pages.parts import open_scan, visits
from pages.parts.answer import show_answer
from pages.parts.class_map import show_map
from pages.parts.enhancement import chosen_to_read, show_preview
from pages.parts.navigation import require_entry
from pages.parts.next_scan import show_next
from pages.parts.readings import PLAIN, check_model, choose_model, read, reader, windowed
from pages.parts.reports import show_downloads
from pages.parts.samples import POPOVER, show_samples
from pages.parts.series import choose_view, show_series
from pages.parts.stability import show_stability
from pages.parts.verdict import verdict_form
from pages.parts.whole_page import whole_page
from pages.parts.windows import choose_window
from pages.words import review as words

_STYLE = """<style>
.answer {border-left: .5rem solid; padding: .1rem 0 .1rem 1rem}
.answer p {margin: 0; font-size: .95rem; opacity: .8}
.answer h2 {margin: 0; padding: 0; font-size: clamp(1.6rem, 2.6vw, 2.5rem); line-height: 1.15;
            display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 1rem}
.bars {width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums}
.bars :is(th, td) {padding: .2rem .75rem .2rem 0; font-weight: 400; text-align: left; white-space: nowrap}
.bars td:last-child {padding-right: 0; text-align: right}
.bars .bar {width: 100%; position: relative; cursor: default}
.bars .bar div {min-width: 2px; height: 1.1rem; border-radius: 2px}
.bars .bar:focus-visible {outline: 2px solid var(--st-primary-color, currentColor)}
.bars .bar::after {content: attr(data-value); position: absolute; right: 0; bottom: 100%; z-index: 9;
    visibility: hidden; padding: .2rem .5rem; border-radius: 4px; background: #18222B; color: white}
.bars .bar:is(:hover, :focus)::after {visibility: visible}
.bars .pale {opacity: .55}
/* Scripts take no room. */
.st-key-whole-page, .st-key-values {position: absolute; width: 0; overflow: hidden}
/* What is above the picture takes little room of the screen. */
[data-testid=stMainBlockContainer]:has(.st-key-file) {padding: 3.6rem 1.25rem 2rem}
[data-testid=stMainBlockContainer]:has(.st-key-file) [data-testid=stVerticalBlock] {gap: .5rem}
.st-key-reading .stHeading [data-testid=stMarkdownContainer] {margin: 0}
.st-key-file {row-gap: .5rem}
.st-key-file [data-testid=stMarkdownContainer], .st-key-file [data-testid=stMarkdownContainer] p {margin: 0}
.st-key-another [data-testid=stElementContainer] {min-width: 0}
@media (min-width: 641px) {.st-key-walk {flex-wrap: nowrap; flex: none; width: auto}}
/* On a desk a scan of a list has all of it in one line, for which the name of the file is cut short. */
@media (min-width: 1000px) {
    .st-key-walk p {white-space: nowrap}
    .st-key-file > [data-testid=stLayoutWrapper]:has(> .st-key-walk) {flex: none; width: auto}
    .st-key-file:has(.st-key-walk) > [data-testid=stElementContainer]:has(.stMarkdown) {
        flex: 1 1 16rem; min-width: 0}
    .st-key-file:has(.st-key-walk) > [data-testid=stElementContainer] p {
        display: flex; overflow: hidden; white-space: pre}
    .st-key-file:has(.st-key-walk) > [data-testid=stElementContainer] p code {
        min-width: 4rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap}
}
/* Once a scan is open, the place for files is a button; while a file is dragged, the whole page. */
.st-key-file [data-testid=stFileUploader] {width: auto}
.st-key-file [data-testid=stFileUploader] > label,
.st-key-file [data-testid=stFileUploaderDropzoneInstructions] {position: absolute; clip-path: inset(50%)}
.st-key-file [data-testid=stFileUploaderDropzone] {padding: 0; min-height: 0; background: none; border: 0}
.dropping [data-testid=stFileUploaderDropzone] {position: fixed; inset: 0; height: auto; z-index: 1000000;
    background: rgb(15 92 140 / 35%); border: 4px dashed #6FB7E6; border-radius: 0}
/* In reading order, and on a phone: the answer, the picture, the verdict. On a desk the picture stands
   left of the other two. */
.st-key-reading > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] {gap: .5rem}
.st-key-reading .stHeading h2 {padding: 0; font-size: clamp(1.35rem, 2vw, 1.9rem); line-height: 1.2}
@media (min-width: 641px) {
    .st-key-reading > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] {
        display: grid; gap: .5rem 1.5rem;
        grid-template: "picture answer" auto "picture opinion" 1fr / 5fr 3fr}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > .stColumn {width: auto; min-width: 0}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > :nth-child(1) {grid-area: answer}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > :nth-child(2) {grid-area: picture}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > :nth-child(3) {grid-area: opinion}
}
</style>"""


@st.fragment
def show_opinion(scan: Scan, data: bytes | None, frame: int | None, uploaded: Reading) -> None:
    """What the clinician says of the scan as uploaded, and reading and verdict as files."""
    model = reader().classifier.digest
    opinion = verdict_form(scan, uploaded, model)
    show_downloads(
        scan,
        data,
        uploaded,
        model,
        frame=frame,
        verdict=opinion.printed,
        note=opinion.note,
        opinion=opinion,
    )


def hide_others(digest: str) -> None:
    """While a scan or series is read, what was said of the one before does not stand under its name.

    Args:
        digest: of what is open; `drawn` takes the same.
    """
    left = f"[data-testid=stMain]:not(:has(.of-{digest})) .st-key-reading [data-stale=true]"
    # Text in it is made visible by a rule of its own.
    st.html(f"<style>:is({left}, {left} *) {{visibility: hidden !important}}</style>")


def drawn(digest: str) -> None:
    """All of a reading stands: from now on what is drawn again is its own."""
    with scripts:
        st.html(f'<span class="of-{digest}"></span>')


def show_uploader() -> None:
    key = open_scan.upload_key()
    st.file_uploader(
        words.UPLOAD,
        accept_multiple_files=True,
        key=key,
        on_change=open_scan.take_upload,
        args=(key,),
    )


def show_problem() -> None:
    """What did not arrive, or could not be opened; and what is on the page all the same."""
    opened = st.session_state.scan or st.session_state.series
    still = words.still_shown(opened.name) if opened else ""
    arrivals.show(still)
    if st.session_state.problem:
        st.error(st.session_state.problem + still)


require_entry()
st.html(_STYLE)

visits.go_on()
open_scan.start()
scripts = st.container(key="whole-page")
welcome = st.empty()
if names := open_scan.arrived():
    with welcome, st.spinner(words.opening(names), show_time=True):
        open_scan.open_arrived()
# Several scans that are dropped here go to the worklist.
if st.session_state.get("handed_over"):
    st.switch_page("pages/worklist.py")
scan, series = st.session_state.scan, st.session_state.series
is_empty = scan is None and series is None
with scripts:
    of = "" if is_empty else (scan or series).digest
    if of:
        hide_others(of)
    whole_page(f"{of} {st.session_state.problem or ''}", is_alone=bool(scan and series))
    visits.watch()

if is_empty:
    with welcome.container():
        of_model = st.container()
        st.title("BraTum Scans", anchor=False)
        st.markdown(words.WELCOME)
        show_uploader()
        show_problem()
        st.markdown("Or try one of these:")
        show_samples("welcome")
        # Loads the model while the visitor looks for a scan.
        with of_model:
            check_model()
    st.stop()
welcome.empty()

is_usable = check_model()
with st.container(horizontal=True, vertical_alignment="center", key="file"):
    show_next()
    if series and scan:
        st.button(
            "Back to the series",
            on_click=open_scan.back_to_series,
            icon=":material/arrow_back:",
            key=open_scan.BACK,
        )
    if scan:
        size = f"{scan.width} x {scan.height}"
        st.markdown(words.file(scan.name, size, scan.format, scan.edges is not None), width="stretch")
        window = scan.window and choose_window(scan.window, scan.presets, scan.digest)
    else:
        st.markdown(words.file(series.name, "", series.format), width="stretch")
        shown_series, plane, volume = choose_view(series)
    choose_model()
    with st.container(width="content", key="another"):
        show_uploader()
    # Seven pictures that few visitors look at are not sent with every answer.
    samples = st.popover("Samples", key=POPOVER, on_change="rerun")
    if samples.open:
        with samples:
            show_samples("samples")
show_problem()
if scan is None:
    open_scan.show_remarks(series.remarks, series.left_out)
    if is_usable:
        show_series(shown_series, plane, volume, open_scan.open_slice)
    drawn(of)
    st.stop()
if window != scan.window:
    scan = windowed(scan, window)

if not is_usable:
    open_scan.show_remarks(scan.remarks)
    show_preview(scan, PLAIN)
    st.stop()
enhancement = chosen_to_read()
with st.container(key="reading"):
    answer, picture, opinion = st.columns(3, gap="large")
with answer:
    uploaded = read(scan)
    is_shown = show_answer(
        uploaded, read(scan, enhancement) if enhancement != PLAIN else None, scan.slice_digest
    )
with picture:
    show_map(scan, enhancement, is_shown=is_shown)
with opinion:
    open_scan.show_remarks(scan.remarks)
    if is_shown:
        show_opinion(scan, st.session_state.data, st.session_state.frame, uploaded)
        show_stability(scan, reader())
    if sample := st.session_state.sample:
        st.caption(words.sample(sample.title, sample.origin))
drawn(of)
