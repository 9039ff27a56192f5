"""Review: one scan, its reading, and where in the scan the reading comes from."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import streamlit as st

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.figures.charts import percent
from brat.io.samples import load_samples
from brat.io.scan import Scan, Window, read_scan
from brat.model.explain import METHODS, MissingPackage, as_png, grad_cam, reference_cam
from brat.model.reader import REFER_FROM, Reader, Reading
from brat.perturb.enhance import brightness, clahe
from pages.parts import opened
from pages.parts.next_scan import show_next
from pages.parts.opened import back_to_series, open_slice, take_sample, take_upload
from pages.parts.reports import show_downloads
from pages.parts.series import show_series
from pages.parts.stability import show_stability
from pages.parts.verdict import verdict_form
from pages.parts.windows import choose_window
from pages.viewer import viewer
from pages.words import review as words
from pages.words import windows as of_windows

Settings = tuple[float | None, float | None]
"""CLAHE's clip limit and the change of brightness, a share of full scale; None where one is off."""

PLAIN: Settings = (None, None)

# Below this probability the page calls a reading unsure.
UNSURE = 0.7

# Where the two sliders start.
CLIP_LIMIT = 2.0
CHANGE = 15  # per cent of full scale


@st.cache_resource(show_spinner=False)
def reader() -> Reader:
    return Reader()


# Few of either, because a scan takes up to 125 MB and a changed one 25.
@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={Scan: lambda scan: scan.digest})
def windowed(scan: Scan, window: Window) -> Scan:
    return scan.windowed(window)


@st.cache_resource(max_entries=8, show_spinner=False)
def changed(digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None) -> np.ndarray:
    """A scan after CLAHE, brightness, both or (both None) neither."""
    gray = _gray if clip_limit is None else clahe(_gray, clip_limit)
    return gray if change is None else brightness(gray, change)


@st.cache_resource(max_entries=256, show_spinner=False)
def read(digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None) -> Reading:
    return reader().read(changed(digest, _gray, clip_limit, change))


@st.cache_resource(max_entries=64, show_spinner=words.SLOW_MAP)
def slow_map(
    method: str, label: str, digest: str, clip_limit: float | None, change: float | None, _input: np.ndarray
) -> np.ndarray:
    return reference_cam(method, _input, label)


@st.cache_resource(show_spinner=False)
def thumbnails() -> dict[str, bytes]:
    """Name of a sample -> a small PNG of it."""
    shown = {sample.name: read_scan(sample.file).gray for sample in load_samples()}
    return {name: as_png(gray, longest=300) for name, gray in shown.items()}


def show_samples(key: str) -> None:
    pictures = thumbnails()
    with st.container(horizontal=True, key=key):
        for sample in load_samples():
            with st.container(width=150):
                st.image(pictures[sample.name], width=150, alt="")
                st.button(
                    sample.title,
                    key=f"{key}-{sample.name}",
                    on_click=take_sample,
                    args=(sample,),
                    width="stretch",
                )


def names(classes: Sequence[str]) -> str:
    """Glioma or meningioma."""
    first, *others = (CLASS_NAMES[name] for name in classes)
    return " or ".join([first, *(name.lower() for name in others)])


def show_answer(uploaded: Reading, enhanced: Reading | None) -> bool:
    """The answer, how far it can be trusted, and the bars of every class; False where it is withheld."""
    shown = enhanced or uploaded
    of = words.ENHANCED_READING if enhanced else words.READING
    label, confidence = shown.prediction.label, shown.prediction.confidence
    unknown = shown.ood is not None and not shown.ood.in_distribution
    if unknown:
        st.warning(words.unlike(shown.ood.reason))
        if not st.toggle(words.SHOW_ANYWAY, key=f"anyway-{st.session_state.scan.digest}"):
            st.caption(words.FOUR_ANSWERS)
            return False
        of += words.OF_UNKNOWN
    unsure = confidence < UNSURE
    st.html(
        f'<section class="answer" style="border-color:{CLASS_COLOURS[label]}">'
        f"<p>{of}{words.UNSURE if unsure else ''}</p>"
        f"<h2>{CLASS_NAMES[label]}<span>{percent(confidence)}</span></h2></section>"
    )
    show_doubt(uploaded, enhanced)
    return True


@st.fragment
def show_doubt(uploaded: Reading, enhanced: Reading | None) -> None:
    """What qualifies the answer, and the bars of every class."""
    shown = enhanced or uploaded
    label = shown.prediction.label
    if shown.sets:
        show_set(shown)
    if shown.ood is not None and shown.ood.in_distribution:
        st.caption(words.like(shown.ood.score))
    if enhanced:
        before = uploaded.prediction
        st.markdown(
            words.before(CLASS_NAMES[before.label], percent(before.confidence))
            + (words.SAME if before.label == label else words.CHANGED)
        )
    readings = {words.AS_UPLOADED: uploaded.prediction.by_class()}
    if enhanced:
        readings = {words.ENHANCED: enhanced.prediction.by_class(), **readings}
    st.html(bars(readings))
    if shown.sets:
        st.segmented_control(
            words.CERTAINTY,
            list(shown.sets),
            default=0.95,
            required=True,
            format_func=percent,
            key="level",
            help=words.CERTAINTY_HELP,
        )
    st.caption(words.CAVEAT)


def bars(readings: Mapping[str, Mapping[str, float]]) -> str:
    """A table of the probability of each class, with a bar a reading, as HTML.

    The browser draws it alone: a library for charts would hold up the first answer.

    Args:
        readings: one or two readings, name -> class -> probability; the bars of the second are paler.
    """
    rows = []
    for label in CLASSES:
        for number, (title, shares) in enumerate(readings.items()):
            cells = [] if number else [f'<th scope="row" rowspan="{len(readings)}">{CLASS_NAMES[label]}</th>']
            if len(readings) > 1:
                cells.append(f"<td>{title}</td>")
            style = f"width:{shares[label]:.1%}; background-color:{CLASS_COLOURS[label]}"
            cells.append(f'<td class="bar{" pale" * number}"><div style="{style}"></div></td>')
            cells.append(f"<td>{escape(percent(shares[label]))}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="bars" aria-label="{words.BARS}">{"".join(rows)}</table>'


def show_set(shown: Reading) -> None:
    """The classes that the scan may be, at a level of the reader's choice."""
    level = st.session_state.get("level", 0.95)
    inside = shown.sets[level]
    st.markdown(words.in_set(percent(level), names(inside) if inside else words.NO_CLASS))
    if len(inside) == 0 or len(inside) >= REFER_FROM:
        st.markdown(words.REFER)
    elif len(inside) > 1:
        st.markdown(words.NOT_APART)


@st.fragment
def show_opinion(scan: Scan, data: bytes | None, uploaded: Reading) -> None:
    """What the clinician says of the scan as uploaded, and reading and verdict as files."""
    model = reader().classifier.digest
    opinion = verdict_form(scan, uploaded, model)
    show_downloads(scan, data, uploaded, model, verdict=opinion.printed, note=opinion.note)


@st.fragment
def show_map(scan: Scan, settings: Settings) -> None:
    """The scan with its map; the slow methods only on demand."""
    reading = read(scan.digest, scan.gray, *settings)
    prediction = reading.prediction
    picture = st.container()
    method = st.segmented_control(
        words.METHOD,
        METHODS,
        default=METHODS[0],
        required=True,
        key="method",
        help=words.METHOD_HELP,
    )
    maps = {label: grad_cam(prediction, label) for label in CLASSES}
    if method != METHODS[0]:
        label = st.selectbox(
            words.MAP_OF,
            CLASSES,
            index=CLASSES.index(prediction.label),
            format_func=CLASS_NAMES.get,
            key=f"slow-class-{scan.digest}",
        )
        try:
            maps = {label: slow_map(method, label, scan.digest, *settings, reading.model_input)}
        except MissingPackage as error:
            st.info(str(error))
            method = METHODS[0]
    with picture:
        viewer(
            changed(scan.digest, scan.gray, *settings),
            maps,
            reading.geometry,
            prediction.label,
            name=scan.name,
            method=method,
            key="viewer",
        )


def chosen() -> Settings:
    """What the reader has set under "Enhance"."""
    state = st.session_state
    return (
        state.get("clip_limit", CLIP_LIMIT) if state.get("clahe") else None,
        state.get("change", CHANGE) / 100 if state.get("brightness") else None,
    )


def chosen_to_read() -> Settings:
    """With what the scan is to be read."""
    return chosen() if st.session_state.get("read_enhanced") else PLAIN


@st.fragment
def show_enhancement(scan: Scan, read_with: Settings) -> None:
    """Previews of CLAHE and brightness; runs the page again where its reading is to follow them."""
    st.subheader(words.ENHANCE, anchor=False)
    equalised, brightened, original = st.columns(3)
    with equalised:
        if st.toggle(words.CLAHE, key="clahe", help=words.CLAHE_HELP):
            st.slider(words.CLIP_LIMIT, 1.0, 8.0, CLIP_LIMIT, 0.5, key="clip_limit")
            show_preview(scan, (chosen()[0], None))
        else:
            st.caption(words.CLAHE_DOES)
    with brightened:
        if st.toggle(words.BRIGHTNESS, key="brightness"):
            st.slider(words.CHANGE, -50, 50, CHANGE, 5, key="change")
            show_preview(scan, (None, chosen()[1]))
        else:
            st.caption(words.BRIGHTNESS_DOES)
    if chosen() != PLAIN:
        with original:
            st.markdown(words.ORIGINAL)
            show_preview(scan, PLAIN)
        st.toggle(words.READ_ENHANCED, key="read_enhanced", help=words.READ_ENHANCED_HELP)
    if chosen_to_read() != read_with:
        st.rerun()


def show_preview(scan: Scan, settings: Settings) -> None:
    alt = words.preview(scan.name, *settings)
    st.image(as_png(changed(scan.digest, scan.gray, *settings)), width="stretch", alt=alt)


st.html(
    """<style>
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
)

opened.start()
# Dropped here, more than one: a list's matter.
if st.session_state.get("handed_over"):
    st.switch_page("pages/worklist.py")
show_next()
scan, series = st.session_state.scan, st.session_state.series
is_empty = scan is None and series is None

if is_empty:
    st.title(words.TITLE, anchor=False)
    st.markdown(words.WELCOME)
st.file_uploader(
    words.UPLOAD,
    accept_multiple_files=True,
    key=opened.upload_key(),
    on_change=take_upload,
    args=(opened.upload_key(),),
)
if st.session_state.problem:
    still = "" if is_empty else words.still_that_of((scan or series).name)
    st.error(st.session_state.problem + still)
if is_empty:
    st.markdown(words.OR_A_SAMPLE)
    show_samples("welcome")
    # While the visitor looks for a scan.
    reader()
    st.stop()

if scan is None:
    st.markdown(f"**{series.name}** · {series.kind}")
    show_series(series, open_slice)
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    if series:
        st.button(words.BACK, on_click=back_to_series, icon=":material/arrow_back:")
    st.markdown(f"**{scan.name}** · {scan.width} x {scan.height} · {scan.kind}")
    window = scan.window and choose_window(scan.window, scan.presets, scan.digest)
    # Seven pictures that most readers never look at are not sent with every answer.
    samples = st.popover(words.SAMPLES, key="samples-open", on_change="rerun")
    if samples.open:
        with samples:
            show_samples("samples")
if window != scan.window:
    st.caption(of_windows.other(window.center, window.width))
    scan = windowed(scan, window)
if sample := st.session_state.sample:
    st.caption(words.sample(sample.title, sample.origin))

settings = chosen_to_read()
with st.container(key="reading"):
    answer, picture, opinion = st.columns(3, gap="large")
with answer:
    uploaded = read(scan.digest, scan.gray, *PLAIN)
    given = show_answer(uploaded, read(scan.digest, scan.gray, *settings) if settings != PLAIN else None)
with picture:
    if given:
        show_map(scan, settings)
    else:
        show_preview(scan, PLAIN)
if given:
    with opinion:
        show_opinion(scan, st.session_state.data, uploaded)
st.divider()
show_enhancement(scan, settings)
if given:
    st.divider()
    show_stability(scan, reader())
