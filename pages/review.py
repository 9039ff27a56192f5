"""Review: one scan, its reading, and where in the scan the reading comes from."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from brat import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.enhance import brightness, clahe
from brat.explain import METHODS, MissingPackage, grad_cam, reference_cam
from brat.figures import CONFIG, confidence_bars, percent
from brat.reader import REFER_FROM, Reader, Reading
from brat.samples import Sample, load_samples
from brat.scans import Scan, UnreadableScan, read_scan
from pages.viewer import viewer

# Below this probability the page calls a reading unsure.
UNSURE = 0.7


@st.cache_resource(show_spinner=False)
def reader() -> Reader:
    return Reader()


# Few of either, because the largest scan that is read takes 125 MB, and a changed one 25 MB.
@st.cache_resource(max_entries=8, show_spinner=False)
def decoded(data: bytes, name: str) -> Scan:
    return read_scan(data, name)


@st.cache_resource(max_entries=8, show_spinner=False)
def changed(digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None) -> np.ndarray:
    """A scan after CLAHE, brightness, both or (both None) neither."""
    gray = _gray if clip_limit is None else clahe(_gray, clip_limit)
    return gray if change is None else brightness(gray, change)


@st.cache_resource(max_entries=256, show_spinner=False)
def read(digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None) -> Reading:
    return reader().read(changed(digest, _gray, clip_limit, change))


@st.cache_resource(max_entries=64, show_spinner="Making the map …")
def slow_map(
    method: str, label: str, digest: str, clip_limit: float | None, change: float | None, _input: np.ndarray
) -> np.ndarray:
    return reference_cam(method, _input, label)


def take(data: bytes, name: str, sample: Sample | None = None) -> None:
    """Make this the scan on the page, or say why it cannot be and leave the one that is."""
    try:
        st.session_state.scan = decoded(data, name)
        st.session_state.sample = sample
        st.session_state.problem = None
    except UnreadableScan as error:
        st.session_state.problem = f"**{name}** was not read. {error}"


def take_upload() -> None:
    upload = st.session_state.upload
    if upload is None:
        st.session_state.problem = None
        return
    take(upload.getvalue(), upload.name)


def take_sample(sample: Sample) -> None:
    take(sample.file.read_bytes(), sample.file.name, sample)


def show_samples(key: str) -> None:
    samples = load_samples()
    with st.container(horizontal=True, key=key):
        for sample in samples:
            with st.container(width=150):
                st.image(decoded(sample.file.read_bytes(), sample.file.name).gray, width=150)
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
    of = "Reading of the enhanced scan" if enhanced else "Reading"
    label, confidence = shown.prediction.label, shown.prediction.confidence
    unknown = shown.verdict is not None and not shown.verdict.known
    if unknown:
        st.warning(f"**Not a slice like those the model knows.** {shown.verdict.reason}")
        if not st.toggle("Show the reading all the same", key=f"anyway-{st.session_state.scan.digest}"):
            st.caption("The model can only give one of its four answers, whatever the picture shows.")
            return False
        of += " of an unknown kind of picture"
    unsure = confidence < UNSURE
    st.html(
        f'<section class="answer" style="border-color:{CLASS_COLOURS[label]}">'
        f"<p>{of}{': unsure' if unsure else ''}</p>"
        f"<h2>{CLASS_NAMES[label]}<span>{percent(confidence)}</span></h2></section>"
    )
    if shown.sets:
        show_set(shown)
    if shown.verdict is not None and shown.verdict.known:
        st.caption(f"Like the slices that the model knows: distance {shown.verdict.score:.2f}, limit 1.")
    if enhanced:
        before = uploaded.prediction
        st.markdown(
            f"As uploaded: **{CLASS_NAMES[before.label]}**, {percent(before.confidence)}. "
            + ("The same reading." if before.label == label else "**The reading has changed.**")
        )
    readings = {"as uploaded": uploaded.prediction.probabilities}
    if enhanced:
        readings = {"enhanced": enhanced.prediction.probabilities, **readings}
    st.plotly_chart(confidence_bars(readings), config=CONFIG, key="bars")
    if shown.sets:
        st.segmented_control(
            "Certainty of the set",
            list(shown.sets),
            default=0.95,
            required=True,
            format_func=percent,
            key="level",
            help="In this share of slices like those it was measured on, the set holds the truth. A higher "
            "certainty makes larger sets.",
        )
    st.caption("Probability of each class by the model. Not a medical device, not for diagnosis.")
    return True


def show_set(shown: Reading) -> None:
    """The classes that the scan may be, at a level of the reader's choice."""
    level = st.session_state.get("level", 0.95)
    inside = shown.sets[level]
    st.markdown(f"**{percent(level)} set:** {names(inside)}")
    if len(inside) >= REFER_FROM:
        st.markdown("**Too uncertain to name a class. Refer this scan to a specialist.**")
    elif len(inside) > 1:
        st.markdown("The model cannot tell these apart here. Do not rely on the first alone.")


def show_map(scan: Scan, settings: tuple[float | None, float | None]) -> None:
    """The scan with its map; the slow methods only on demand."""
    reading = read(scan.digest, scan.gray, *settings)
    prediction = reading.prediction
    picture = st.container()
    method = st.segmented_control(
        "How the map is made",
        METHODS,
        default=METHODS[0],
        required=True,
        key="method",
        help="Grad-CAM comes with every reading. The others ask the model again and take seconds.",
    )
    maps = {label: grad_cam(prediction, label) for label in CLASSES}
    if method != METHODS[0]:
        label = st.selectbox(
            "Map of",
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


def show_enhancement(scan: Scan) -> tuple[float | None, float | None]:
    """Previews of CLAHE and brightness; returns the settings with which the scan is to be read."""
    st.subheader("Enhance", anchor=False)
    original, equalised, brightened = st.columns(3)
    with original:
        st.markdown("As uploaded")
        st.image(scan.gray, width="stretch")
    with equalised:
        clip_limit = change = None
        if st.toggle("CLAHE", key="clahe", help="Contrast-limited adaptive histogram equalisation"):
            clip_limit = st.slider("Clip limit", 1.0, 8.0, 2.0, 0.5, key="clip_limit")
            st.image(changed(scan.digest, scan.gray, clip_limit, None), width="stretch")
        else:
            st.caption("Raises contrast tile by tile; faint enhancement shows better, and so does noise.")
    with brightened:
        if st.toggle("Brightness", key="brightness"):
            change = st.slider("Change, % of full scale", -50, 50, 15, 5, key="change") / 100
            st.image(changed(scan.digest, scan.gray, None, change), width="stretch")
        else:
            st.caption("Makes the whole scan lighter or darker.")
    return clip_limit, change


st.html(
    """<style>
    .answer {border-left: .5rem solid; padding: .1rem 0 .1rem 1rem}
    .answer p {margin: 0; font-size: .95rem; opacity: .8}
    .answer h2 {margin: 0; padding: 0; font-size: clamp(1.9rem, 3.2vw, 2.8rem); line-height: 1.15;
                display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 1rem}
    /* The answer comes first in reading order, and on a phone; on a desk the picture stands left of it. */
    .st-key-reading > div > [data-testid="stHorizontalBlock"],
    .st-key-reading > [data-testid="stHorizontalBlock"] {flex-direction: row-reverse}
    </style>"""
)

st.session_state.setdefault("scan", None)
st.session_state.setdefault("problem", None)
st.session_state.setdefault("sample", None)
scan = st.session_state.scan

if scan is None:
    st.title("BraTum Scans", anchor=False)
    st.markdown(
        "Reads one brain MRI slice as glioma, meningioma, pituitary tumour or no tumour, and shows how sure "
        "it is and where in the slice the answer comes from. **Not a medical device:** no diagnosis or "
        "treatment may depend on it. The scan stays on the computer that runs this page."
    )
st.file_uploader(
    "Drop a brain MRI slice here: PNG, JPEG, BMP, TIFF, WebP or DICOM",
    key="upload",
    on_change=take_upload,
)
if st.session_state.problem:
    st.error(
        st.session_state.problem + (f" The reading below is still that of **{scan.name}**." if scan else "")
    )
if scan is None:
    st.markdown("Or try one of these:")
    show_samples("welcome")
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown(f"**{scan.name}** · {scan.width} x {scan.height} · {scan.kind}")
    with st.popover("Samples"):
        show_samples("samples")
if sample := st.session_state.sample:
    st.caption(f"Sample: {sample.title}. {sample.origin}.")

reading_area = st.container(key="reading")
st.divider()
settings = show_enhancement(scan)
enhancing = settings != (None, None) and st.toggle(
    "Read the enhanced scan instead", key="read_enhanced", help="Both readings are then shown."
)
with reading_area:
    answer, picture = st.columns([2, 3], gap="large")
    with answer:
        uploaded = read(scan.digest, scan.gray, None, None)
        given = show_answer(uploaded, read(scan.digest, scan.gray, *settings) if enhancing else None)
    with picture:
        if given:
            show_map(scan, settings if enhancing else (None, None))
        else:
            st.image(scan.gray, width="stretch")
