"""Review: one scan, its reading, and where in the scan the reading comes from."""

import streamlit as st

from brat.io.scan import Scan
from brat.model.reader import Reading
from pages import arrivals
from pages.parts import open_scan
from pages.parts.answer import show_answer
from pages.parts.class_map import show_map
from pages.parts.enhancement import chosen_to_read, show_enhancement, show_preview
from pages.parts.navigation import require_entry
from pages.parts.next_scan import show_next
from pages.parts.readings import PLAIN, check_model, read, reader, windowed
from pages.parts.reports import show_downloads
from pages.parts.samples import show_samples
from pages.parts.series import show_series
from pages.parts.stability import show_stability
from pages.parts.verdict import verdict_form
from pages.parts.windows import choose_window
from pages.words import review as words
from pages.words.markdown import literal

_STYLE = """<style>
.answer {border-left: .5rem solid; padding: .1rem 0 .1rem 1rem}
.answer p {margin: 0; font-size: .95rem; opacity: .8}
.answer h2 {margin: 0; padding: 0; font-size: clamp(1.9rem, 3.2vw, 2.8rem); line-height: 1.15;
            display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 1rem}
.bars {width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums}
.bars :is(th, td) {padding: .3rem .75rem .3rem 0; font-weight: 400; text-align: left; white-space: nowrap}
.bars td:last-child {padding-right: 0; text-align: right}
.bars .bar {width: 100%}
.bars .bar div {min-width: 2px; height: 1.1rem; border-radius: 2px}
.bars .pale {opacity: .55}
/* In reading order, and on a phone: the answer, the picture, the verdict. On a desk the picture stands
   left of the other two. */
@media (min-width: 641px) {
    .st-key-reading > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] {
        display: grid; row-gap: 1rem;
        grid-template: "picture answer" auto "picture opinion" 1fr / 3fr 2fr}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > .stColumn {width: auto; min-width: 0}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > :nth-child(1) {grid-area: answer}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > :nth-child(2) {grid-area: picture}
    .st-key-reading > [data-testid="stLayoutWrapper"] > div > :nth-child(3) {grid-area: opinion}
}
</style>"""


@st.fragment
def show_opinion(scan: Scan, data: bytes | None, uploaded: Reading) -> None:
    """What the clinician says of the scan as uploaded, and reading and verdict as files."""
    model = reader().classifier.digest
    opinion = verdict_form(scan, uploaded, model)
    show_downloads(scan, data, uploaded, model, verdict=opinion.printed, note=opinion.note, opinion=opinion)


require_entry()
st.html(_STYLE)

open_scan.start()
# Several scans that are dropped here go to the worklist.
if st.session_state.get("handed_over"):
    st.switch_page("pages/worklist.py")
show_next()
scan, series = st.session_state.scan, st.session_state.series
is_empty = scan is None and series is None

of_model = st.container()
if is_empty:
    st.title("BraTum Scans", anchor=False)
    st.markdown(words.WELCOME)
st.file_uploader(
    words.UPLOAD,
    accept_multiple_files=True,
    key=open_scan.upload_key(),
    on_change=open_scan.take_upload,
    args=(open_scan.upload_key(),),
)
arrivals.watch()
still = "" if is_empty else words.still_that_of((scan or series).name)
arrivals.show(still)
if st.session_state.problem:
    st.error(st.session_state.problem + still)
if is_empty:
    st.markdown("Or try one of these:")
    show_samples("welcome")
    # Loads the model while the visitor looks for a scan.
    with of_model:
        check_model()
    st.stop()

with of_model:
    is_usable = check_model()
if scan is None:
    st.markdown(f"{literal(series.name)} · {series.format}")
    open_scan.show_remarks(series.remarks, series.left_out)
    if not is_usable:
        st.stop()
    show_series(series, open_scan.open_slice)
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    if series:
        st.button("Back to the series", on_click=open_scan.back_to_series, icon=":material/arrow_back:")
    st.markdown(f"{literal(scan.name)} · {scan.width} x {scan.height} · {scan.format}")
    window = scan.window and choose_window(scan.window, scan.presets, scan.digest)
    # Pictures that few visitors look at are not sent with every answer.
    samples = st.popover("Samples", key="samples-open", on_change="rerun")
    if samples.open:
        with samples:
            show_samples("samples")
if window != scan.window:
    scan = windowed(scan, window)
if sample := st.session_state.sample:
    st.caption(words.sample(sample.title, sample.origin))

open_scan.show_remarks(scan.remarks)

if not is_usable:
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
    if is_shown:
        show_map(scan, enhancement)
    else:
        show_preview(scan, PLAIN)
if is_shown:
    with opinion:
        show_opinion(scan, st.session_state.data, uploaded)
st.divider()
show_enhancement(scan, enhancement)
if is_shown:
    st.divider()
    show_stability(scan, reader())
